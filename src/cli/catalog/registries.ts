/** Commands that speak with registries on the user's behalf. */
import type { CommandEntry } from "../command.ts";

export const login: CommandEntry = {
  name: "login",
  summary: "Authenticate to a registry",
  load: async () => (await import("../account/login.ts")).login,
};

export const logout: CommandEntry = {
  name: "logout",
  summary: "Log out from a registry",
  load: async () => (await import("../account/logout.ts")).logout,
};

export const search: CommandEntry = {
  name: "search",
  summary: "Search Docker Hub for images",
  load: async () => (await import("../image/search.ts")).search,
};
