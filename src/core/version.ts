/** What davit says it is. */
export const version = "0.1.0";
/** Newest Engine API that davit's objects follow, and the oldest it answers. */
export const apiVersion = "1.51";
export const minimumApiVersion = "1.24";
