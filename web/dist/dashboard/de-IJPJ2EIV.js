var r={};export{r as words};
