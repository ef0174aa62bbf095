// Files that esbuild takes into the bundle: a `.json` becomes the address of its copy.
declare module "*.json" {
  const address: string;
  export default address;
}
declare module "*.css";
