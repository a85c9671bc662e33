/**
 * The default seccomp profile: which system calls a container may make. It decides as Docker's default profile
 * does. What is not named fails with EPERM; `clone3` with ENOSYS, so that C libraries fall back to `clone`, whose
 * flags a filter can see.
 */
import { InvalidParameter, messageOf } from "../core/errors.ts";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "./oci.ts";

const ENOSYS = 38;
const EPERM = 1;

/** Allowed always, on every architecture that has them. */
const always = words(`
  _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod
  chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
  clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat
  dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
  fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
  fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs
  fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
  futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
  getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
  getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init
  inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
  io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
  landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat
  llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create
  memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr
  mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
  mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
  newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
  pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
  pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom
  recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
  restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
  rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
  sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
  sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
  semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
  set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer
  setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
  setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
  sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs
  statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
  timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
  truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes
  vfork vmsplice wait4 waitid waitpid write writev
`);

/** Allowed with the capability without which the kernel would refuse them anyway. */
const byCapability: Readonly<Record<string, readonly string[]>> = {
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_SYS_ADMIN: words(`
  bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
  lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
  quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
  `),
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: ["delete_module", "finit_module", "init_module"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: words("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
  CAP_SYS_RAWIO: ["ioperm", "iopl"],
  CAP_SYS_TIME: words("clock_settime clock_settime64 settimeofday stime"),
  CAP_SYS_TTY_CONFIG: ["vhangup"],
  CAP_SYS_NICE: words("get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
  CAP_SYSLOG: ["syslog"],
  CAP_BPF: ["bpf"],
  CAP_PERFMON: ["perf_event_open"],
};

/** Before 4.8 a process could use ptrace to slip past a seccomp filter. */
const sincePtraceIsSafe = ["process_vm_readv", "process_vm_writev", "ptrace"];
const ptraceIsSafe = { major: 4, minor: 8 };

const byArchitecture: Readonly<Record<string, readonly string[]>> = {
  amd64: ["arch_prctl", "modify_ldt"],
  "386": ["modify_ldt"],
  arm: words("arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"),
  arm64: words("arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"),
  ppc64le: ["swapcontext", "sync_file_range2"],
  s390x: ["s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"],
  riscv64: ["riscv_flush_icache"],
};

/** The native architecture first, then those whose programs it also runs. */
const architectures: Readonly<Record<string, readonly string[]>> = {
  amd64: ["X86_64", "X86", "X32"],
  arm64: ["AARCH64", "ARM"],
  s390x: ["S390X", "S390"],
  riscv64: ["RISCV64"],
  loong64: ["LOONGARCH64"],
  mips64: ["MIPS64", "MIPS", "MIPS64N32"],
  mips64le: ["MIPSEL64", "MIPSEL", "MIPSEL64N32"],
};

/** PER_LINUX, PER_LINUX32, either with UNAME26, and 0xffffffff, which only asks. personality(2). */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: a container makes no namespaces. */
const namespaceFlags = 0x7e020000;

const AF_VSOCK = 40;
const AF_ALG = 38;

export interface SeccompConditions {
  /** The container's bounding set. */
  capabilities: readonly string[];
  /** As Go names it: amd64, arm64 … */
  architecture: string;
  kernel: { major: number; minor: number };
}

/** The profile for these capabilities on this machine. About 20 µs. */
export function defaultSeccomp(conditions: SeccompConditions): SeccompProfile {
  const { architecture, kernel } = conditions;
  const capabilities = new Set(conditions.capabilities);
  const allowed = new Set(always);
  const allow = (names: readonly string[] = []) => {
    for (const name of names) allowed.add(name);
  };
  if (isAtLeast(kernel, ptraceIsSafe)) allow(sincePtraceIsSafe);
  allow(byArchitecture[architecture]);
  for (const [capability, names] of Object.entries(byCapability)) {
    if (capabilities.has(capability)) allow(names);
  }

  const rules: SeccompRule[] = [
    { names: [...allowed], action: "SCMP_ACT_ALLOW" },
    // AF_ALG reaches the kernel's crypto code, AF_VSOCK the hypervisor's host.
    only("socket", { index: 0, value: AF_ALG, op: "SCMP_CMP_LT" }),
    only("socket", { index: 0, value: AF_ALG + 1, op: "SCMP_CMP_EQ" }),
    only("socket", { index: 0, value: AF_VSOCK, op: "SCMP_CMP_GT" }),
    ...personalities.map((value) => only("personality", { index: 0, value, op: "SCMP_CMP_EQ" })),
  ];
  if (!capabilities.has("CAP_SYS_ADMIN")) {
    // s390 takes clone's flags as its second argument.
    const index = architecture === "s390x" ? 1 : 0;
    rules.push(only("clone", { index, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }));
    rules.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: (architectures[architecture] ?? []).map((name) => `SCMP_ARCH_${name}`),
    syscalls: rules,
  };
}

function only(name: string, argument: SeccompArgument): SeccompRule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args: [argument] };
}

function isAtLeast(
  kernel: { major: number; minor: number },
  wanted: { major: number; minor: number },
): boolean {
  return kernel.major > wanted.major || (kernel.major === wanted.major && kernel.minor >= wanted.minor);
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** A profile as `--security-opt seccomp=FILE` has it: the runtime's own form, with conditions on each rule. */
interface ConditionalRule extends SeccompRule {
  name?: string;
  includes?: RuleConditions;
  excludes?: RuleConditions;
}
interface RuleConditions {
  caps?: string[];
  arches?: string[];
  minKernel?: string;
}

/** Resolves a user's profile. @throws InvalidParameter when it is not one. */
export function customSeccomp(text: string, conditions: SeccompConditions): SeccompProfile {
  const document = parseProfile(text);
  const profile: SeccompProfile = { defaultAction: document.defaultAction };
  if (document.defaultErrnoRet !== undefined) profile.defaultErrnoRet = document.defaultErrnoRet;
  if (document.flags !== undefined) profile.flags = document.flags;
  const native = (architectures[conditions.architecture] ?? []).map((name) => `SCMP_ARCH_${name}`);
  const mapped = document.archMap?.find((entry) => entry.architecture === native[0]);
  if (document.architectures !== undefined) profile.architectures = document.architectures;
  else if (mapped !== undefined)
    profile.architectures = [mapped.architecture, ...(mapped.subArchitectures ?? [])];
  profile.syscalls = (document.syscalls ?? []).filter((rule) => applies(rule, conditions)).map(plainRule);
  return profile;
}

interface ProfileDocument {
  defaultAction: string;
  defaultErrnoRet?: number;
  flags?: string[];
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  syscalls?: ConditionalRule[];
}

function parseProfile(text: string): ProfileDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidParameter(`Decoding seccomp profile failed: ${messageOf(error)}`, { cause: error });
  }
  if (!isProfile(value)) throw new InvalidParameter("Decoding seccomp profile failed: not a seccomp profile");
  return value;
}

/** The runtime checks actions, operators and names; here only the shape that we walk through. */
function isProfile(value: unknown): value is ProfileDocument {
  return (
    isRecord(value) &&
    typeof value.defaultAction === "string" &&
    isOptional(value.defaultErrnoRet, (item) => typeof item === "number") &&
    isOptional(value.flags, isTextList) &&
    isOptional(value.architectures, isTextList) &&
    isOptional(value.archMap, (list) => isListOf(list, isArchitectureMap)) &&
    isOptional(value.syscalls, (list) => isListOf(list, isRule))
  );
}

function isArchitectureMap(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value.architecture === "string" &&
    (value.subArchitectures === null || isOptional(value.subArchitectures, isTextList))
  );
}

function isRule(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value.action === "string" &&
    isOptional(value.name, (item) => typeof item === "string") &&
    (isTextList(value.names) || typeof value.name === "string") &&
    (value.args === null || isOptional(value.args, (list) => isListOf(list, isRecord))) &&
    isOptional(value.includes, isConditions) &&
    isOptional(value.excludes, isConditions)
  );
}

function isConditions(value: unknown): boolean {
  return (
    isRecord(value) &&
    isOptional(value.caps, isTextList) &&
    isOptional(value.arches, isTextList) &&
    isOptional(value.minKernel, (item) => typeof item === "string")
  );
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isOptional = (value: unknown, check: (value: unknown) => boolean) =>
  value === undefined || check(value);
const isListOf = (value: unknown, check: (value: unknown) => boolean) =>
  Array.isArray(value) && value.every(check);
const isTextList = (value: unknown) => isListOf(value, (item) => typeof item === "string");

function applies(rule: ConditionalRule, conditions: SeccompConditions): boolean {
  const { includes = {}, excludes = {} } = rule;
  const capabilities = new Set(conditions.capabilities);
  if (includes.arches && !includes.arches.includes(conditions.architecture)) return false;
  if (includes.caps && !includes.caps.every((name) => capabilities.has(name))) return false;
  if (includes.minKernel && !isAtLeast(conditions.kernel, parseKernel(includes.minKernel))) return false;
  if (excludes.arches?.includes(conditions.architecture)) return false;
  if (excludes.caps?.some((name) => capabilities.has(name))) return false;
  return !(excludes.minKernel && isAtLeast(conditions.kernel, parseKernel(excludes.minKernel)));
}

function parseKernel(text: string): { major: number; minor: number } {
  const match = text.match(/^(\d+)\.(\d+)/);
  if (!match) throw new InvalidParameter(`Decoding seccomp profile failed: invalid minKernel "${text}"`);
  return { major: Number(match[1]), minor: Number(match[2]) };
}

function plainRule(rule: ConditionalRule): SeccompRule {
  const plain: SeccompRule = { names: rule.names ?? [rule.name ?? ""], action: rule.action };
  if (rule.errnoRet !== undefined) plain.errnoRet = rule.errnoRet;
  if (rule.args) plain.args = rule.args;
  return plain;
}
