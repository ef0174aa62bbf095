import{a,b}from"/dashboard/chunk-IX4XKWEP.js";import"/dashboard/chunk-U6T7TWVN.js";import"/dashboard/chunk-KF3L3AID.js";import"/dashboard/chunk-5RB74IXU.js";export{b as Code,a as default};
