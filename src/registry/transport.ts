/**
 * Registries as sources and sinks of images: pull is a copy from `registrySource`, push one to `registrySink`.
 */

export { type ResolvedImage, resolveImage } from "./resolve.ts";
export {
  type LayerOutcome,
  type PushedImage,
  type RegistrySinkOptions,
  registrySink,
} from "./sink.ts";
export { type RegistrySourceOptions, registryImage, registrySource } from "./source.ts";
