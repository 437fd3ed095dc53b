//go:build linux || darwin

#include "pjrt.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "_cgo_export.h"

static const pjrt_api *plugin;
static pjrt_api *table;

pjrt_api *sharing_api(const pjrt_api *api) {
  if (plugin != NULL) return api == plugin ? table : NULL;
  size_t least = offsetof(pjrt_api, functions) + (PJRT_LoadedExecutable_Destroy + 1) * sizeof(void *);
  if (api->pjrt_api_version.major_version != 0 || api->struct_size < least) return NULL;
  table = malloc(api->struct_size);
  if (table == NULL) return NULL;
  memcpy(table, api, api->struct_size);
  table->functions[PJRT_Client_Destroy] = (void *)sharedClientDestroy;
  table->functions[PJRT_Client_Compile] = (void *)sharedCompile;
  table->functions[PJRT_LoadedExecutable_Destroy] = (void *)sharedDestroy;
  plugin = api;
  return table;
}

void *plugin_call(int function, void *args) { return ((void *(*)(void *))plugin->functions[function])(args); }

void *destroy_executable(void *executable) {
  PJRT_LoadedExecutable_Destroy_Args args = {sizeof args, NULL, executable};
  return plugin_call(PJRT_LoadedExecutable_Destroy, &args);
}

void keep_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}
