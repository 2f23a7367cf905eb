/* The page that says which calls of libc fail, and how; tests/e2e/lib/faults.py knows its
 * layout. */
#ifndef FAULTS_PAGE_H
#define FAULTS_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EXPORTED __attribute__((visibility("default")))

enum fault_class {
    OPEN,     /* files and folders */
    READ,     /* of regular files */
    LIST,     /* what is in a folder, entry by entry */
    WRITE,    /* to regular files: of a socket or an event descriptor no disk can be full */
    SYNC,     /* fsync and its kin */
    TRUNCATE, /* lengths of files */
    NAME,     /* what changes a folder: names, owners, modes */
    STAT,     /* what asks about names and descriptors */
    LOCK,     /* of files, and other fcntl of regular files */
    SOCKET,   /* whatever makes or connects a descriptor that is no file */
    RECV,     /* from sockets */
    SEND,     /* to sockets */
    POLL,     /* what waits, and what says what for */
    MAP,      /* pages: mapped, protected, locked */
    RANDOM,   /* the kernel's random bytes */
    SPAWN,    /* threads and processes */
    MEMORY,   /* malloc and its kin */
    CLASSES
};

enum way {
    FAILS,
    LIES,
    CHANGES
}; /* LIES: says yes, does nothing. CHANGES: one byte of a write */

struct page {
    _Atomic uint32_t armed, mask, nth, for_ever, error, n_failed;
    _Atomic uint32_t way, sync_ms; /* sync_ms: how long each fsync takes at least */
    _Atomic int32_t wall_s;        /* how far the wall clock is off, armed or not */
    char path[36];                 /* only files whose path holds it; empty: all */
    _Atomic uint32_t counts[CLASSES];
};

/* NULL: nothing was asked for. */
extern struct page *page;

/* Counts the call; whether it fails, and then errno is set. */
bool fails(enum fault_class class);
bool armed(void);
/* Puts the function of that name that this library stands before into a pointer to it. */
void original(const char *name, void *ret_function);

#endif
