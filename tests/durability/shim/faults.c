/* Faults below a process: a library to preload, between the broker and its files.
 *
 * FAULTS_DATA is the folder that is watched, FAULTS_LOG where is noted what a power cut would undo, FAULTS_KEPT a folder on the
 * same file system that keeps what was removed, FAULTS_CONTROL a file of one page with the numbers below. What a crash of the
 * machine does is done afterwards, by whoever reads the log: tests/harness/undone.rs, which knows the same layout.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The page. All but the counters are set from outside. */
enum {
    SYNC_DELAY_US, FULL, FAIL_WRITE_AT, FAIL_SYNC_AT, FAIL_CALL_AT, WRITES, SYNCS, CALLS, FAILED,
    /* Not 0: from that read on nothing can be read; sled's files cannot be written; no journal file can be given up. */
    FAIL_READS_FROM, READS, STATE_FAILS, REMOVALS_FAIL, WORDS
};

/* The log. */
enum { WRITTEN = 1, SIZED, SYNCED, LOST, MADE, RENAMED, REMOVED, FOLDER_SYNCED };
struct record {
    uint64_t kind, number, file, offset, length, old_size, path_length, data_length;
};

#define ZEROS UINT64_MAX /* as data_length: as many zeros as there were bytes */

static volatile uint64_t *page;
static uint64_t nothing[WORDS];
static char data[PATH_MAX], kept[PATH_MAX];
static size_t data_length;
static int log_fd = -1;
static uint64_t last_number;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* By descriptor. */
enum { UNKNOWN, OTHERS, OUR_FILE, STATE_FILE, OUR_FOLDER };
static unsigned char kinds[1 << 16];

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, open64, const char *, int, ...);
REAL(int, openat64, int, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, pread64, int, void *, size_t, off64_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, ftruncate64, int, off64_t);
REAL(int, rename, const char *, const char *);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);

__attribute__((constructor)) static void start(void) {
    /* Once the library is loaded nobody may run before this: the loader calls it first. */
#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)
    FIND(open64);
    FIND(openat64);
    FIND(close);
    FIND(read);
    FIND(pread64);
    FIND(write);
    FIND(writev);
    FIND(pwrite64);
    FIND(fsync);
    FIND(fdatasync);
    FIND(ftruncate64);
    FIND(rename);
    FIND(unlink);
    FIND(unlinkat);
    page = nothing;
    const char *control = getenv("FAULTS_CONTROL"), *log = getenv("FAULTS_LOG");
    const char *folder = getenv("FAULTS_DATA"), *keep = getenv("FAULTS_KEPT");
    if (!control || !log || !folder || !keep) return;
    int fd = real_open64(control, O_RDWR | O_CLOEXEC);
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        perror("faults: FAULTS_CONTROL");
        _exit(99);
    }
    real_close(fd);
    log_fd = real_open64(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        perror("faults: FAULTS_LOG");
        _exit(99);
    }
    snprintf(kept, sizeof kept, "%s", keep);
    snprintf(data, sizeof data, "%s", folder);
    data_length = strlen(data);
    page = mapped;
}

static int is_ours(const char *path) {
    return log_fd >= 0 && strncmp(path, data, data_length) == 0 && (path[data_length] == '/' || !path[data_length]);
}

static int path_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* What `at` and `path` name together. */
static const char *joined(int at, const char *path, char *out) {
    if (path[0] == '/' || at == AT_FDCWD) return path;
    char folder[PATH_MAX];
    if (!path_of(at, folder)) return path;
    if (snprintf(out, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX) return path;
    return out;
}

/* Whether it is in that folder of ours, which ends with a slash. */
static int is_in(const char *path, const char *folder) {
    return is_ours(path) && path[data_length] && strncmp(path + data_length + 1, folder, strlen(folder)) == 0;
}

static int kind_of(int fd) {
    if (log_fd < 0 || fd < 0 || fd >= (int)sizeof kinds) return OTHERS;
    if (!kinds[fd]) {
        char path[PATH_MAX];
        struct stat at;
        int ours = path_of(fd, path) && is_ours(path) && fstat(fd, &at) == 0;
        int file = is_in(path, "state/") ? STATE_FILE : OUR_FILE;
        kinds[fd] = !ours ? OTHERS : S_ISREG(at.st_mode) ? file : S_ISDIR(at.st_mode) ? OUR_FOLDER : OTHERS;
    }
    return kinds[fd];
}

static int is_file(int fd) {
    int kind = kind_of(fd);
    return kind == OUR_FILE || kind == STATE_FILE;
}

/* Writes a record; the lock is held. */
static void put(struct record record, const char *path, const void *bytes) {
    record.number = ++last_number;
    record.path_length = strlen(path);
    uint64_t bytes_length = record.data_length == ZEROS ? 0 : record.data_length;
    struct iovec parts[] = {
        {&record, sizeof record}, {(void *)path, record.path_length}, {(void *)bytes, bytes_length}};
    ssize_t wanted = sizeof record + record.path_length + bytes_length;
    if (real_writev(log_fd, parts, 3) != wanted) {
        perror("faults: the log");
        _exit(99);
    }
}

/* Whether the next call is one that has to fail. */
static int fails(int counter, int at) {
    uint64_t count = __sync_add_and_fetch(&page[counter], 1);
    uint64_t call = __sync_add_and_fetch(&page[CALLS], 1);
    if ((page[at] && count == page[at]) || (page[FAIL_CALL_AT] && call == page[FAIL_CALL_AT])) {
        __sync_add_and_fetch(&page[FAILED], 1);
        return 1;
    }
    return 0;
}

/* Whether this kind of call fails for now. */
static int fails_for_now(int which) {
    if (!page[which]) return 0;
    __sync_add_and_fetch(&page[FAILED], 1);
    errno = EIO;
    return 1;
}

/* What only the sweep lets fail. */
static int call_fails(void) {
    uint64_t call = __sync_add_and_fetch(&page[CALLS], 1);
    if (page[FAIL_CALL_AT] && call == page[FAIL_CALL_AT]) {
        __sync_add_and_fetch(&page[FAILED], 1);
        return 1;
    }
    return 0;
}

/* Notes the bytes that are about to be changed. */
static void note_bytes(int fd, uint64_t kind, uint64_t offset, uint64_t length, const struct stat *at) {
    uint64_t size = (uint64_t)at->st_size;
    uint64_t end = offset + length < size ? offset + length : size;
    uint64_t count = end > offset ? end - offset : 0;
    char *old = count ? malloc(count) : NULL;
    if (count && (!old || real_pread64(fd, old, count, (off64_t)offset) != (ssize_t)count)) {
        /* A file that was opened for writing only. */
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int again = real_open64(link, O_RDONLY | O_CLOEXEC);
        if (!old || again < 0 || real_pread64(again, old, count, (off64_t)offset) != (ssize_t)count) {
            perror("faults: what is overwritten");
            _exit(99);
        }
        real_close(again);
    }
    int zeros = 1;
    for (uint64_t i = 0; i < count && zeros; i++) zeros = !old[i];
    put((struct record){.kind = kind, .file = at->st_ino, .offset = offset, .length = length, .old_size = size,
                        .data_length = zeros ? ZEROS : count},
        "", old);
    free(old);
}

static int no_room(const struct stat *at, uint64_t offset, uint64_t length) {
    uint64_t size = (uint64_t)at->st_size;
    /* 2: on a file system that never overwrites, all need room. 1: a file with holes, or one that grows. */
    return page[FULL] == 2 || (page[FULL] && (offset + length > size || (uint64_t)at->st_blocks * 512 < size));
}

/* Every write comes through here. */
static ssize_t write_at(int fd, const void *bytes, size_t length, off64_t offset) {
    struct stat at;
    if (fstat(fd, &at)) return -1;
    if (no_room(&at, (uint64_t)offset, length)) {
        __sync_add_and_fetch(&page[FAILED], 1);
        errno = ENOSPC;
        return -1;
    }
    if (kind_of(fd) == STATE_FILE && fails_for_now(STATE_FAILS)) return -1;
    int torn = fails(WRITES, FAIL_WRITE_AT);
    pthread_mutex_lock(&lock);
    fstat(fd, &at);
    note_bytes(fd, WRITTEN, (uint64_t)offset, length, &at);
    /* Half of it is there all the same. */
    ssize_t written = real_pwrite64(fd, bytes, torn ? length / 2 : length, offset);
    pthread_mutex_unlock(&lock);
    if (!torn) return written;
    errno = EIO;
    return -1;
}

/* Whether a file of ours cannot be read. */
static int is_unreadable(int fd) {
    if (!is_file(fd)) return 0;
    uint64_t count = __sync_add_and_fetch(&page[READS], 1);
    if (count >= page[FAIL_READS_FROM] && fails_for_now(FAIL_READS_FROM)) return 1;
    if (!call_fails()) return 0;
    errno = EIO;
    return 1;
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
    return is_unreadable(fd) ? -1 : real_pread64(fd, bytes, length, offset);
}

ssize_t read(int fd, void *bytes, size_t length) {
    return is_unreadable(fd) ? -1 : real_read(fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    if (!is_file(fd)) return real_pwrite64(fd, bytes, length, offset);
    return write_at(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_file(fd)) return real_write(fd, bytes, length);
    int appends = fcntl(fd, F_GETFL) & O_APPEND;
    off64_t offset = lseek64(fd, 0, appends ? SEEK_END : SEEK_CUR);
    ssize_t written = write_at(fd, bytes, length, offset);
    if (written > 0) lseek64(fd, offset + written, SEEK_SET);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_file(fd)) return real_writev(fd, parts, count);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) return sum ? sum : -1;
        sum += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return sum;
}

int ftruncate64(int fd, off64_t length) {
    if (!is_file(fd)) return real_ftruncate64(fd, length);
    if (kind_of(fd) == STATE_FILE && fails_for_now(STATE_FAILS)) return -1;
    if (fails(WRITES, FAIL_WRITE_AT)) {
        errno = EIO;
        return -1;
    }
    struct stat at;
    pthread_mutex_lock(&lock);
    int result = fstat(fd, &at);
    if (!result) {
        uint64_t size = (uint64_t)at.st_size, cut = (uint64_t)length < size ? size - (uint64_t)length : 0;
        note_bytes(fd, SIZED, (uint64_t)length, cut, &at);
        result = real_ftruncate64(fd, length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int sync_file(int fd, int (*real)(int)) {
    int kind = kind_of(fd);
    if (kind == OTHERS) return real(fd);
    struct stat at;
    char path[PATH_MAX];
    if (fstat(fd, &at) || !path_of(fd, path)) return -1;
    if (page[SYNC_DELAY_US]) usleep((useconds_t)page[SYNC_DELAY_US]);
    pthread_mutex_lock(&lock);
    uint64_t until = last_number;
    pthread_mutex_unlock(&lock);
    int failed = fails(SYNCS, FAIL_SYNC_AT);
    int result = failed ? -1 : real(fd);
    pthread_mutex_lock(&lock);
    if (failed || !result) {
        uint64_t what = failed ? LOST : kind == OUR_FOLDER ? FOLDER_SYNCED : SYNCED;
        put((struct record){.kind = what, .file = at.st_ino, .length = until}, kind == OUR_FOLDER ? path : "", "");
    }
    pthread_mutex_unlock(&lock);
    if (failed) errno = EIO;
    return result;
}

int fsync(int fd) { return sync_file(fd, real_fsync); }
int fdatasync(int fd) { return sync_file(fd, real_fdatasync); }

static int noted_open(int at, const char *given, int flags, mode_t mode) {
    char joined_path[PATH_MAX];
    const char *path = joined(at, given, joined_path);
    int makes = is_ours(path) && (flags & (O_CREAT | O_TRUNC));
    if (!makes) return real_openat64(at, given, flags, mode);
    struct stat was;
    if (is_in(path, "state/") && fails_for_now(STATE_FAILS)) return -1;
    if (call_fails()) {
        errno = EIO;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int existed = !stat(path, &was);
    if (existed && flags & O_TRUNC && was.st_size) {
        int old = real_open64(path, O_RDONLY | O_CLOEXEC);
        if (old >= 0) {
            note_bytes(old, SIZED, 0, (uint64_t)was.st_size, &was);
            real_close(old);
        }
    }
    int fd = real_openat64(at, given, flags, mode);
    if (fd >= 0 && !existed) put((struct record){.kind = MADE}, path, "");
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return noted_open(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return noted_open(AT_FDCWD, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return noted_open(at, path, flags, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < (int)sizeof kinds) kinds[fd] = 0;
    return real_close(fd);
}

/* A second name for what is about to go, so that it can come back; gives that name, or "". */
static const char *keep(const char *path, char *out) {
    struct stat at;
    if (stat(path, &at) || !S_ISREG(at.st_mode)) return "";
    snprintf(out, PATH_MAX, "%.*s/%llu", PATH_MAX - 32, kept, (unsigned long long)last_number + 1);
    return link(path, out) ? "" : out;
}

int rename(const char *from, const char *to) {
    if (!is_ours(from) || !is_ours(to)) return real_rename(from, to);
    /* A spare file. */
    if (strstr(to, ".free") && fails_for_now(REMOVALS_FAIL)) return -1;
    if (call_fails()) {
        errno = EIO;
        return -1;
    }
    char both[2 * PATH_MAX], spare[PATH_MAX];
    snprintf(both, sizeof both, "%s\n%s", from, to);
    pthread_mutex_lock(&lock);
    const char *old = keep(to, spare);
    int result = real_rename(from, to);
    if (!result) put((struct record){.kind = RENAMED, .data_length = strlen(old)}, both, old);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlinkat(int at, const char *given, int flags) {
    char joined_path[PATH_MAX], spare[PATH_MAX];
    const char *path = joined(at, given, joined_path);
    if (!is_ours(path) || flags & AT_REMOVEDIR) return real_unlinkat(at, given, flags);
    if (is_in(path, "journal/") && fails_for_now(REMOVALS_FAIL)) return -1;
    if (call_fails()) {
        errno = EIO;
        return -1;
    }
    pthread_mutex_lock(&lock);
    const char *old = keep(path, spare);
    int result = real_unlinkat(at, given, flags);
    if (!result && *old) put((struct record){.kind = REMOVED, .data_length = strlen(old)}, path, old);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
