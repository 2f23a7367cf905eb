/* The memory that libcurl runs on: sp_wipe's, and a few small blocks for when there is none.
 *
 * libcurl mends most failed allocations, but not those by which it notes a new socket: the
 * socket is never watched, the call hangs until its time is over, and its end divides by zero
 * (7.88). Such notes are small and live as long as a connection, so a reserve carries them over
 * a shortage that passes. Any thread may call these. */
#ifndef SP_CURL_ALLOC_H
#define SP_CURL_ALLOC_H

#include <stddef.h>

void *sp_curl_malloc(size_t size);
void *sp_curl_calloc(size_t count, size_t size);
void *sp_curl_realloc(void *ptr, size_t size);
char *sp_curl_strdup(const char *string);
void sp_curl_free(void *ptr);

#endif
