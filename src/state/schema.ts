/**
 * The records of one instance: `<data root>/davit.db`. Each migration is applied once, in order, in one
 * transaction with its number (PRAGMA user_version). A migration that has landed is never edited.
 */
export const migrations: readonly string[] = [
  `
  -- One row a container. record is a ContainerRecord as JSON; name and state stand beside it to be searched.
  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,           -- unix milliseconds
    state TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;

  -- Intent: written before kernel work on a container, deleted when it is done. A row whose process is dead
  -- tells the next command what to finish or undo.
  CREATE TABLE operations (
    container_id TEXT PRIMARY KEY,
    verb TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started INTEGER NOT NULL           -- field 22 of /proc/<pid>/stat: tells a reused pid
  ) STRICT;

  CREATE TABLE execs (
    id TEXT PRIMARY KEY,
    container_id TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX execs_by_container ON execs (container_id);

  -- One row an image; id is the config's digest, manifest the digest of its manifest in the content store.
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    manifest TEXT NOT NULL,
    parent TEXT,                           -- image it was built or committed from, if that is known
    created_at INTEGER NOT NULL,           -- when it came here; unix milliseconds
    last_tag_at INTEGER,
    size INTEGER NOT NULL                  -- bytes of all its layers, unpacked
  ) STRICT;

  -- Names of images: canonical references such as docker.io/library/busybox:latest.
  CREATE TABLE tags (
    reference TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images (id)
  ) STRICT;
  CREATE INDEX tags_by_image ON tags (image_id);

  -- Repository digests that an image is known by: docker.io/library/busybox@sha256:…
  CREATE TABLE repo_digests (
    reference TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images (id)
  ) STRICT;

  -- Unpacked layers; the committed snapshot is named by the chain id.
  CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    parent TEXT,
    size INTEGER NOT NULL                  -- bytes this layer adds
  ) STRICT;

  -- Which layers an image stands on, so that one transaction can tell whether a layer is still used.
  CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images (id),
    position INTEGER NOT NULL,
    chain_id TEXT NOT NULL REFERENCES layers (chain_id),
    PRIMARY KEY (image_id, position)
  ) STRICT;
  CREATE INDEX image_layers_by_chain ON image_layers (chain_id);

  CREATE TABLE snapshots (
    key TEXT PRIMARY KEY,
    directory TEXT NOT NULL UNIQUE,        -- short name of the snapshot's directory below the driver's
    parent TEXT,
    state TEXT NOT NULL,                   -- preparing, active, committed, removing
    driver TEXT NOT NULL,
    condemned_at INTEGER                   -- when its removal began; unix milliseconds
  ) STRICT;
  CREATE INDEX snapshots_by_parent ON snapshots (parent);

  CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL                   -- a Volume of the Engine API, and whether it is anonymous
  ) STRICT;
  CREATE TABLE volume_uses (
    name TEXT NOT NULL,
    container_id TEXT NOT NULL,
    PRIMARY KEY (name, container_id)
  ) STRICT;

  CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE endpoints (
    network_id TEXT NOT NULL,
    container_id TEXT NOT NULL,
    address TEXT NOT NULL,                 -- IPv4, dotted
    record TEXT NOT NULL,
    PRIMARY KEY (network_id, container_id),
    UNIQUE (network_id, address)
  ) STRICT;
  -- Host ports in use; protocol and port are unique for each host address.
  CREATE TABLE ports (
    protocol TEXT NOT NULL,
    host_ip TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    container_id TEXT NOT NULL,
    PRIMARY KEY (protocol, host_ip, host_port)
  ) STRICT;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_nano INTEGER NOT NULL,
    message TEXT NOT NULL                  -- an EventMessage of the Engine API
  ) STRICT;
  `,
  `
  -- Layers whose files may not have reached the disk yet: written in the transaction that records them, deleted after
  -- the sync. A row of an earlier boot tells that the power failed in between (images/pending.ts).
  CREATE TABLE pending_layers (
    chain_id TEXT PRIMARY KEY,
    boot TEXT NOT NULL                     -- /proc/sys/kernel/random/boot_id
  ) STRICT;
  `,
  `
  -- Names (tags and repository digests) that lead to an index of several platforms. The row of the same name in tags
  -- or repo_digests holds this machine's platform, or the one that it was last pulled as.
  CREATE TABLE indexes (
    reference TEXT PRIMARY KEY,
    digest TEXT NOT NULL                   -- of the index, whose bytes are in the content store
  ) STRICT;
  CREATE INDEX indexes_by_digest ON indexes (digest);

  -- The manifests of an index whose images are here.
  CREATE TABLE variants (
    index_digest TEXT NOT NULL,
    manifest TEXT NOT NULL,
    platform TEXT NOT NULL,                -- as the index has it: os, architecture, variant, os.version as JSON
    image_id TEXT NOT NULL REFERENCES images (id),
    PRIMARY KEY (index_digest, manifest)
  ) STRICT;
  CREATE INDEX variants_by_image ON variants (image_id);
  `,
  `
  -- Which blobs were seen to hold which layer: a blob that was unpacked and checked, or what a plain layer became when
  -- it was compressed for a push. So the next pull need not unpack it, and the next push not compress it, to know.
  CREATE TABLE compressed_layers (
    diff_id TEXT NOT NULL,
    digest TEXT NOT NULL,                  -- of the compressed blob, which need not be here
    size INTEGER NOT NULL,                 -- its bytes
    media_type TEXT NOT NULL,
    PRIMARY KEY (diff_id, digest)
  ) STRICT;
  `,
  `
  -- What steps of builds have made (build/cache). key is what the step is known by: its definition and all that goes
  -- into it. A row is written before its snapshot is committed, so that a snapshot without a row is never one of these.
  CREATE TABLE build_results (
    id TEXT PRIMARY KEY,
    key TEXT UNIQUE,                       -- NULL when a later result has taken it over
    snapshot TEXT NOT NULL UNIQUE,         -- build-<id>; the chain id once it is a layer of an image
    diff_id TEXT,                          -- once its layer has been written as a tar
    file_time TEXT NOT NULL,               -- newest time of its files, nanoseconds since 1970
    size INTEGER NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,           -- unix milliseconds
    used_at INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    maker TEXT,                            -- pid.start time of who makes it; NULL when it is made
    boot TEXT                              -- the boot that it was written in, until it is synced to the disk
  ) STRICT;

  -- Other keys of a result: what is known of a step before its inputs' files have been looked at.
  CREATE TABLE build_aliases (
    key TEXT PRIMARY KEY,
    result_id TEXT NOT NULL REFERENCES build_results (id)
  ) STRICT;
  CREATE INDEX build_aliases_by_result ON build_aliases (result_id);

  -- Directories of RUN --mount=type=cache.
  CREATE TABLE build_mounts (
    id TEXT PRIMARY KEY,                   -- also the directory's name
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    uses INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Working containers, on which images are built by hand (engine/working). Their snapshots are named working-<id>.
  CREATE TABLE working_containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_id TEXT NOT NULL,                -- empty for one from scratch
    record TEXT NOT NULL                   -- a WorkingRecord as JSON
  ) STRICT;
  `,
  `
  -- What went into steps when they were last built (build/explain): to say why one is built anew.
  CREATE TABLE build_inputs (
    line TEXT NOT NULL,                    -- which Dockerfile of which context
    place TEXT NOT NULL,                   -- of the step: stage and number
    title TEXT NOT NULL,                   -- its instruction
    key TEXT NOT NULL,                     -- its cache key
    inputs BLOB NOT NULL,                  -- StepInputs, zstd
    noted_at INTEGER NOT NULL,             -- unix milliseconds
    PRIMARY KEY (line, place)
  ) STRICT;
  CREATE INDEX build_inputs_by_title ON build_inputs (title, noted_at);
  `,
];
