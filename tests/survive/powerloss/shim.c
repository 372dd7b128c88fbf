/* A disk that forgets what was not flushed (tests/src/survive/powerloss.rs). Preloaded into a
 * program, it writes down before each write to a regular file what stood there, and each completed
 * flush. The harness takes back what no flush covered. Two switches, files in a folder, make the
 * disk full or its flushes slow; each flush that was slowed adds a byte to a third. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1;
static int lies = 0;
static char full_path[4096], slow_path[4096], slowed_path[4096];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SURVIVE_DISK_LOG"), *lie = getenv("SURVIVE_DISK_LIES");
    const char *switches = getenv("SURVIVE_DISK_SWITCHES");
    lies = lie && lie[0] == '1';
    if (switches) {
        snprintf(full_path, sizeof full_path, "%s/full", switches);
        snprintf(slow_path, sizeof slow_path, "%s/slow", switches);
        snprintf(slowed_path, sizeof slowed_path, "%s/slowed", switches);
    }
    if (path) log_fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

struct head { uint64_t magic, dev, ino, at, size_before, length, kind_and_kept; };

static void append(struct head *head, const void *before, size_t kept, uint64_t kind) {
    head->magic = 0x5057524c4f535331ULL;
    head->kind_and_kept = (kind << 48) | kept;
    struct iovec parts[2] = {{head, sizeof *head}, {(void *)before, kept}};
    syscall(SYS_writev, log_fd, parts, kept ? 2 : 1);
}

static int is_full(void) { return full_path[0] && syscall(SYS_access, full_path, F_OK) == 0; }

/* Before a write of `n` bytes at `at` (-1: where the file stands). Nonzero: the disk is full. */
static int before_write(int fd, size_t n, off_t at) {
    struct stat about;
    int error = errno;
    if (log_fd < 0 || fd <= 2 || fd == log_fd || fstat(fd, &about) || !S_ISREG(about.st_mode)) {
        errno = error;
        return 0;
    }
    if (is_full()) {
        errno = ENOSPC;
        return 1;
    }
    if (at < 0) at = (fcntl(fd, F_GETFL) & O_APPEND) ? about.st_size : lseek(fd, 0, SEEK_CUR);
    size_t kept = 0;
    if (at < about.st_size) kept = (uint64_t)(about.st_size - at) < n ? (size_t)(about.st_size - at) : n;
    char *before = kept ? malloc(kept) : NULL;
    if (kept) {
        /* A file open for writing only is read by another way in. */
        ssize_t got = syscall(SYS_pread64, fd, before, kept, at);
        if (got < 0) {
            char name[64];
            snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
            int other = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
            got = other < 0 ? -1 : syscall(SYS_pread64, other, before, kept, at);
            if (other >= 0) syscall(SYS_close, other);
        }
        kept = got < 0 ? 0 : (size_t)got;
    }
    struct head head = {0, about.st_dev, about.st_ino, at, about.st_size, n, 0};
    append(&head, before, kept, 0);
    free(before);
    errno = error;
    return 0;
}

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

ssize_t write(int fd, const void *buf, size_t n) {
    return before_write(fd, n, -1) ? -1 : syscall(SYS_write, fd, buf, n);
}
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
    return before_write(fd, n, at) ? -1 : syscall(SYS_pwrite64, fd, buf, n, at);
}
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at) {
    return before_write(fd, n, at) ? -1 : syscall(SYS_pwrite64, fd, buf, n, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return before_write(fd, total(parts, count), -1) ? -1 : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (before_write(fd, total(parts, count), at)) return -1;
    return syscall(SYS_pwritev, fd, parts, count, (unsigned long)at, 0UL);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    return pwritev(fd, parts, count, at);
}

static void wait_if_slow(void) {
    if (!slow_path[0]) return;
    int fd = syscall(SYS_openat, AT_FDCWD, slow_path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return;
    char text[32] = {0};
    if (syscall(SYS_read, fd, text, 31) > 0) {
        long millis = strtol(text, NULL, 10);
        struct timespec time = {millis / 1000, (millis % 1000) * 1000000L};
        nanosleep(&time, NULL);
        int count = syscall(SYS_openat, AT_FDCWD, slowed_path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
        if (count >= 0) {
            syscall(SYS_write, count, "x", 1);
            syscall(SYS_close, count);
        }
    }
    syscall(SYS_close, fd);
}

static int flush(int fd, long number) {
    struct stat about, log;
    int known = log_fd >= 0 && !fstat(fd, &about) && S_ISREG(about.st_mode) && !fstat(log_fd, &log);
    if (known) wait_if_slow();
    if (known && lies) return 0;
    int outcome = syscall(number, fd);
    if (known && outcome == 0) {
        /* It covers what was written down before it began. */
        struct head head = {0, about.st_dev, about.st_ino, log.st_size, 0, 0, 0};
        append(&head, NULL, 0, 1);
    }
    return outcome;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
