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
  size_t least = offsetof(pjrt_api, functions) + (PJRT_Executable_DeserializeAndLoad + 1) * sizeof(void *);
  if (api->pjrt_api_version.major_version != 0 || api->struct_size < least) return NULL;
  table = malloc(api->struct_size);
  if (table == NULL) return NULL;
  memcpy(table, api, api->struct_size);
  table->functions[PJRT_Client_Create] = (void *)sharedClientCreate;
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

// failed frees an error; the caller has another way to go on.
static int failed(void *error) {
  if (error == NULL) return 0;
  PJRT_Error_Destroy_Args args = {sizeof args, NULL, error};
  plugin_call(PJRT_Error_Destroy, &args);
  return 1;
}

int serialize(void *loaded, PJRT_Executable_Serialize_Args *args) {
  PJRT_LoadedExecutable_GetExecutable_Args get = {sizeof get, NULL, loaded, NULL};
  if (failed(plugin_call(PJRT_LoadedExecutable_GetExecutable, &get))) return 1;
  memset(args, 0, sizeof *args);
  args->struct_size = sizeof *args;
  args->executable = get.executable;
  int status = failed(plugin_call(PJRT_Executable_Serialize, args));
  PJRT_Executable_Destroy_Args destroy = {sizeof destroy, NULL, get.executable};
  failed(plugin_call(PJRT_Executable_Destroy, &destroy));
  return status;
}

void serialized_free(PJRT_Executable_Serialize_Args *args) {
  if (args->serialized_executable_deleter != NULL) args->serialized_executable_deleter(args->serialized_executable);
}

void *deserialize(void *client, const void *bytes, size_t size) {
  PJRT_Executable_DeserializeAndLoad_Args args = {sizeof args, NULL, client, bytes, size, NULL, NULL, 0};
  return failed(plugin_call(PJRT_Executable_DeserializeAndLoad, &args)) ? NULL : args.loaded_executable;
}

void keep_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}
