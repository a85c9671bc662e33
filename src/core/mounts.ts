/** What a container's mounts are planned to be; kept in its record. */

/**
 * One mount of a container as planned at its creation from `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the
 * image's VOLUMEs. `mountVolumes` (src/volumes) makes a runtime mount of it at each start.
 */
export interface PlannedMount {
  type: "bind" | "volume" | "tmpfs";
  /** Host path of a bind; the volume's mount point; empty for tmpfs. */
  source: string;
  /** Absolute and cleaned; never `/`. */
  destination: string;
  readonly: boolean;
  /** `rprivate`, `rslave`, …; empty where the type has none. */
  propagation: string;
  /** Bring along what is mounted below the source. */
  recursive: boolean;
  /** `if-possible` and `required` make mounts below a read-only one read-only too. */
  recursiveReadonly: "no" | "if-possible" | "required";
  /** Make a directory at the source if there is nothing. */
  createSource: boolean;
  /** The volume's name; empty for other types. */
  volume: string;
  /** The volume was made for this mount, without a name of anybody's choice: `rm -v` and `--rm` take it along. */
  anonymous: boolean;
  /** Path inside the volume that is mounted; empty for all of it. */
  subpath: string;
  /** Fill the volume from the image if it is empty. */
  copyUp: boolean;
  /** File system options of a tmpfs, in mount(8)'s words. */
  options: string[];
}
