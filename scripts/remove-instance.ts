/**
 * Removes what an instance has on the machine beyond its two directories: volume mounts, bridge, nftables table,
 * cgroups and file system mounts. Its containers must be gone. Usage: remove-instance.ts DATA_ROOT EXEC_ROOT
 */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeInstance } from "../src/core/instance.ts";
