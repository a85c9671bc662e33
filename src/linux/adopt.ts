/** Hands a descriptor that we opened ourselves to Bun's event loop. */
import type { Socket, SocketHandler } from "bun";

declare module "bun" {
  // Bun 1.4 takes a descriptor here; its type definitions name the options, but not the overload.
  function connect<Data = undefined>(options: FdSocketOptions<Data>): Promise<Socket<Data>>;
}

/**
 * Watches a connected socket, of any type. For SOCK_SEQPACKET each packet comes as one `data` call.
 * From here on Bun owns the descriptor and closes it. Other descriptors can be watched too, for one event: at the
 * first one Bun tries to receive, which fails, and it closes the descriptor (`close` is called).
 */
export function adoptSocket(
  fd: number,
  socket: SocketHandler<undefined>,
  allowHalfOpen = false,
): Promise<Socket<undefined>> {
  return Bun.connect({ fd, socket, allowHalfOpen });
}
