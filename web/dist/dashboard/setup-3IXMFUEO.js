import{a,b}from"/dashboard/chunk-GSSBQVK3.js";import"/dashboard/chunk-ZN6BX7BG.js";import"/dashboard/chunk-Q73FABEL.js";import"/dashboard/chunk-SEM7XJV6.js";export{b as Code,a as default};
