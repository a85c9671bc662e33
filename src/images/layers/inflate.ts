/**
 * Decompresses on the thread that calls, out of one buffer into another, again and again. The runtime's streams do it
 * on threads of their own, with memory of its own for each chunk: that takes twice the processor's time, and half as
 * much again to collect what is dead.
 *
 * The runtime's decoders are reached through the fields that its own streams use. It is part of the executable, so
 * they cannot be others than the tests have seen.
 */
import { InvalidParameter, SystemFailure } from "../../core/errors.ts";
import { unexpectedEnd } from "./unexpected-end.ts";

// Loaded when something is compressed: 3 ms.
const zlib = (): typeof import("node:zlib") => require("node:zlib");

/** What a decoder of `node:zlib` has inside. */
interface Decoder {
  /** Writes how much room and how much input is left into the codec's `_writeState`. */
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  onerror(message: string, errno: number, code: string): void;
}

interface Codec extends Disposable {
  readonly decoder: Decoder;
  readonly left: Uint32Array;
}

const outputSize = 1 << 18;
/** Other work of this thread gets a turn after so many buffers of output: 10 to 20 ms. */
const outputsBetweenTurns = 16;

/**
 * Uncompressed bytes; a chunk is good until the next is asked for, and so may those of `source` be. What follows the
 * end is left out, as zlib does.
 * @throws InvalidParameter when the compressed data is damaged, or (gzip) ends early.
 */
export async function* inflate(
  source: AsyncIterable<Uint8Array>,
  format: "gzip" | "zstd",
): AsyncGenerator<Uint8Array> {
  using codec = open(format);
  const { decoder, left } = codec;
  let failure: Error | undefined;
  decoder.onerror = (message, _errno, code) => {
    failure =
      code === "Z_BUF_ERROR"
        ? unexpectedEnd()
        : new InvalidParameter(`${format}: the data is damaged: ${message}`);
  };
  const output = new Uint8Array(outputSize);
  const { Z_NO_FLUSH, Z_FINISH } = zlib().constants;
  let outputs = 0;
  /** @returns how many bytes are in `output`; what is left of the input stands in `left`. */
  const step = (flush: number, input: Uint8Array, from: number): number => {
    decoder.writeSync(flush, input, from, input.length - from, output, 0, outputSize);
    if (failure !== undefined) throw failure;
    return outputSize - (left[0] ?? 0);
  };
  let isOver = false;
  for await (const chunk of source) {
    let isFull = true;
    for (let from = 0; isFull && !isOver; ) {
      const got = step(Z_NO_FLUSH, chunk, from);
      from = chunk.length - (left[1] ?? 0);
      isFull = got === outputSize;
      // It has room and takes no more.
      isOver = !isFull && from < chunk.length;
      if (got > 0) yield output.subarray(0, got);
      outputs += 1;
      if (outputs % outputsBetweenTurns === 0) await Bun.sleep(0);
    }
  }
  if (format === "gzip" && !isOver) step(Z_FINISH, new Uint8Array(0), 0);
}

function open(format: "gzip" | "zstd"): Codec {
  const codec: object & { destroy(): unknown } =
    format === "gzip" ? zlib().createGunzip() : zlib().createZstdDecompress();
  const decoder = "_handle" in codec ? codec._handle : undefined;
  const left = "_writeState" in codec ? codec._writeState : undefined;
  if (!isDecoder(decoder) || !(left instanceof Uint32Array)) {
    throw new SystemFailure(`this runtime's ${format} decoder is not the one that davit was made with`);
  }
  return { decoder, left, [Symbol.dispose]: () => codec.destroy() };
}

function isDecoder(value: unknown): value is Decoder {
  return typeof value === "object" && value !== null && "writeSync" in value && "onerror" in value;
}
