/** What images are made of, layer by layer, and in what two of them differ: read from their layers' tars alone. */

export { storedImage } from "../transports/stored-image.ts";
export { imageDifferences } from "./differences.ts";
export { layerReports } from "./reports.ts";
