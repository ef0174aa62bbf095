import{a,b}from"/dashboard/chunk-YYU5EHIP.js";import"/dashboard/chunk-FTNGOV42.js";import"/dashboard/chunk-P7ZQZKIR.js";import"/dashboard/chunk-DCWNWENY.js";export{b as Code,a as default};
