/* Keeps, of every file below KILLS_ROOT, what would be on the disk after a loss of power.

   Preloaded into each process of a search. Where it syncs a file, its content of this moment is
   copied to KILLS_SHADOW/content/INODE and its name noted in KILLS_SHADOW/names; where it syncs a
   folder, the names in it become what they are (a file that was never synced is empty then). All
   else, such as a rename or a deletion whose folder is not synced, is lost: a real file system
   often keeps more, and may write in another order, but never keeps less. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG (3 * PATH_MAX)

static const char *root(void) { return getenv("KILLS_ROOT"); }
static const char *shadow(void) { return getenv("KILLS_SHADOW"); }

/* The part of a path below the root, or NULL. */
static const char *below(const char *path) {
    const char *start = root();
    size_t length = start ? strlen(start) : 0;
    if (!length || !shadow() || strncmp(path, start, length) || path[length] != '/') return NULL;
    return path + length + 1;
}

/* An inode's number may be used again: the time of its birth tells the files apart. */
static int identity(const char *path, char *out) {
    struct statx found;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &found)) return -1;
    if (!S_ISREG(found.stx_mode)) return -1;
    return sprintf(out, "%llx-%llx-%x", (unsigned long long)found.stx_ino,
                   (unsigned long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
}

/* Writes a file aside and renames it, so that a kill leaves none by half. */
static void put(const char *target, int from, const char *text) {
    char aside[LONG + 64], buffer[1 << 16];
    sprintf(aside, "%s.%d.%lx.tmp", target, getpid(), (unsigned long)pthread_self());
    int to = open(aside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0) return;
    if (text) {
        if (write(to, text, strlen(text)) < 0) text = NULL;
    } else {
        ssize_t count;
        for (off_t at = 0; (count = pread(from, buffer, sizeof buffer, at)) > 0; at += count)
            if (write(to, buffer, count) < 0) break;
    }
    close(to);
    rename(aside, target);
}

static void name_path(const char *relative, char *out) {
    int start = sprintf(out, "%s/names/", shadow());
    strcpy(out + start, relative);
    for (char *each = out + start; *each; each++) if (*each == '/') *each = '%';
}

static void note_name(const char *path, const char *relative) {
    char target[LONG], id[80];
    if (identity(path, id) < 0) return;
    name_path(relative, target);
    put(target, -1, id);
}

static void note_file(const char *path) {
    char target[LONG], id[80];
    const char *relative = below(path);
    if (!relative || identity(path, id) < 0) return;
    int from = open(path, O_RDONLY);
    if (from < 0) return;
    sprintf(target, "%s/content/%s", shadow(), id);
    put(target, from, NULL);
    close(from);
    note_name(path, relative);
}

static void note_folder(const char *path) {
    char each[LONG], inner[LONG];
    if (!below(path) && strcmp(path, root())) return;
    const char *relative = below(path) ? below(path) : "";
    DIR *folder = opendir(path);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        sprintf(each, "%s/%s", path, entry->d_name);
        sprintf(inner, "%s%s%s", relative, *relative ? "/" : "", entry->d_name);
        note_name(each, inner);
    }
    closedir(folder);
    sprintf(each, "%s/names", shadow());
    DIR *names = opendir(each);
    if (!names) return;
    sprintf(inner, "%s%s", relative, *relative ? "%" : "");
    for (char *at = inner; *at; at++) if (*at == '/') *at = '%';
    size_t length = strlen(inner);
    for (struct dirent *entry; (entry = readdir(names));) {
        const char *name = entry->d_name;
        if (strncmp(name, inner, length) || strchr(name + length, '%')) continue;
        char real[LONG];
        sprintf(real, "%s/%s", path, name + length);
        if (access(real, F_OK) && !strstr(name, ".tmp")) {
            sprintf(real, "%s/names/%s", shadow(), name);
            unlink(real);
        }
    }
    closedir(names);
}

static void note(int descriptor) {
    int before = errno;
    char link[64], path[PATH_MAX + 1];
    struct stat found;
    sprintf(link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (root() && shadow() && length > 0 && !fstat(descriptor, &found)) {
        path[length] = 0;
        if (S_ISDIR(found.st_mode)) note_folder(path);
        else if (S_ISREG(found.st_mode)) note_file(path);
    }
    errno = before;
}

static int visit(const char *path, const struct stat *found, int kind, struct FTW *where) {
    (void)found; (void)where;
    if (kind == FTW_F) note_file(path);
    if (kind == FTW_DP) note_folder(path);
    return 0;
}

int fsync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int done = real(descriptor);
    if (!done) note(descriptor);
    return done;
}

int fdatasync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int done = real(descriptor);
    if (!done) note(descriptor);
    return done;
}

void sync(void) {
    ((void (*)(void))dlsym(RTLD_NEXT, "sync"))();
    if (root() && shadow()) nftw(root(), visit, 16, FTW_PHYS | FTW_DEPTH);
}
