import{a,b}from"/dashboard/chunk-A4G2CCB5.js";import"/dashboard/chunk-4SEOOU65.js";import"/dashboard/chunk-Q4JBENGE.js";import"/dashboard/chunk-NHM35EP2.js";export{b as Code,a as default};
