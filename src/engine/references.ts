/** Names of images, for callers of the engine: the grammar that the engine itself reads them by. */
export {
  canonicalForm,
  familiarForm,
  parseReference,
  type Reference,
  withDefaultTag,
} from "../images/references.ts";
