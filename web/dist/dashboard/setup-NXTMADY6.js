import{a,b}from"/dashboard/chunk-NHV6K22Q.js";import"/dashboard/chunk-SWWIO4U2.js";import"/dashboard/chunk-3BGAANQI.js";import"/dashboard/chunk-KKFDACAH.js";export{b as Code,a as default};
