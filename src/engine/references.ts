/** Names of images, for callers of the engine: the grammar that the engine itself reads them by. */
export {
  canonicalForm,
  familiarForm,
  familiarName,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from "../images/references.ts";
