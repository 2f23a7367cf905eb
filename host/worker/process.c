#include "process.h"

#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors first move out of the way: dup2 onto itself would leave close-on-exec set, and a
 * target could be another's source. */
static int add_descriptors(posix_spawn_file_actions_t *actions, int socket, int library)
{
    int status =
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    status = status ? status
                    : posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
    status = status ? status : posix_spawn_file_actions_adddup2(actions, socket, WORKER_SOCKET);
    status =
        status ? status : posix_spawn_file_actions_adddup2(actions, library, WORKER_LIBRARY);
    return status ? status
                  : posix_spawn_file_actions_addclosefrom_np(actions, WORKER_LIBRARY + 1);
}

/* Signals as a fresh program expects them, whatever the host blocks or ignores. */
static int add_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int status = posix_spawnattr_setsigmask(attributes, &none);
    status = status ? status : posix_spawnattr_setsigdefault(attributes, &all);
    return status ? status
                  : posix_spawnattr_setflags(attributes,
                                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *program, const char *path, int socket, int library, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char name[] = "sallyport-worker";
    char *const argv[] = {name, (char *)(uintptr_t)path, NULL};
    char *const environment[] = {NULL};
    int status = posix_spawn_file_actions_init(&actions);
    if (status) {
        return status;
    }
    status = posix_spawnattr_init(&attributes);
    if (!status) {
        status = add_descriptors(&actions, socket, library);
        status = status ? status : add_signals(&attributes);
        status = status
                     ? status
                     : posix_spawn(ret_pid, program, &actions, &attributes, argv, environment);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return status;
}

/* A descriptor above those that the worker is given. */
static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, WORKER_LIBRARY + 1);
    int error = errno;
    (void)close(fd);
    errno = error;
    return moved;
}

sp_status worker_start(const char *program, const char *path, int library_fd, pid_t *ret_pid,
                       int *ret_socket, struct sp_error *err)
{
    int ends[2], library = -1, error = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        return sp_fail(err, SP_EIO, "plugin %s: socketpair: %s", path, strerror(errno));
    }
    ends[0] = move_up(ends[0]);
    ends[1] = ends[0] < 0 ? ends[1] : move_up(ends[1]);
    library = ends[1] < 0 ? -1 : fcntl(library_fd, F_DUPFD_CLOEXEC, WORKER_LIBRARY + 1);
    error = library < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) ? errno : 0;
    if (!error) {
        error = spawn(program, path, ends[1], library, ret_pid);
    }
    if (library >= 0) {
        (void)close(library);
    }
    if (ends[1] >= 0) {
        (void)close(ends[1]);
    }
    if (error) {
        if (ends[0] >= 0) {
            (void)close(ends[0]);
        }
        return sp_fail(err, SP_EIO, "plugin %s: its worker %s cannot be started: %s", path,
                       program, strerror(error));
    }
    *ret_socket = ends[0];
    return SP_OK;
}

void worker_end(pid_t pid, char ret_how[WORKER_END_BYTES])
{
    int status = 0;
    (void)kill(pid, SIGKILL); /* one that is dying keeps the reason it has */
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            (void)snprintf(ret_how, WORKER_END_BYTES, "is gone");
            return;
        }
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        (void)snprintf(ret_how, WORKER_END_BYTES, "was killed");
    } else if (WIFSIGNALED(status)) {
        (void)snprintf(ret_how, WORKER_END_BYTES, "died of signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    } else {
        (void)snprintf(ret_how, WORKER_END_BYTES, "ended with status %d", WEXITSTATUS(status));
    }
}
