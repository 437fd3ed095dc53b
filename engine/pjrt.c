//go:build linux || darwin

#include "pjrt.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

typedef void *(*pjrt_function)(void *args);

void *pjrt_call(const pjrt_api *api, int function, void *args) { return ((pjrt_function)api->functions[function])(args); }

// failed frees an error; the caller has another way to go on.
static int failed(const pjrt_api *api, void *error) {
  if (error == NULL) return 0;
  PJRT_Error_Destroy_Args args = {sizeof args, NULL, error};
  pjrt_call(api, PJRT_Error_Destroy, &args);
  return 1;
}

pjrt_api *hooked_api(const pjrt_api *api) {
  size_t least = offsetof(pjrt_api, functions) + (PJRT_Executable_DeserializeAndLoad + 1) * sizeof(void *);
  if (api->pjrt_api_version.major_version != 0 || api->struct_size < least) return NULL;
  pjrt_api *copy = malloc(api->struct_size);
  if (copy == NULL) return NULL;
  memcpy(copy, api, api->struct_size);
  copy->functions[PJRT_Client_Create] = (void *)hookedCreate;
  copy->functions[PJRT_Client_Compile] = (void *)hookedCompile;
  return copy;
}

int serialize(const pjrt_api *api, void *loaded, PJRT_Executable_Serialize_Args *args) {
  PJRT_LoadedExecutable_GetExecutable_Args get = {sizeof get, NULL, loaded, NULL};
  if (failed(api, pjrt_call(api, PJRT_LoadedExecutable_GetExecutable, &get))) return 1;
  memset(args, 0, sizeof *args);
  args->struct_size = sizeof *args;
  args->executable = get.executable;
  int status = failed(api, pjrt_call(api, PJRT_Executable_Serialize, args));
  PJRT_Executable_Destroy_Args destroy = {sizeof destroy, NULL, get.executable};
  failed(api, pjrt_call(api, PJRT_Executable_Destroy, &destroy));
  return status;
}

void serialized_free(PJRT_Executable_Serialize_Args *args) {
  if (args->serialized_executable_deleter != NULL) args->serialized_executable_deleter(args->serialized_executable);
}

void *deserialize(const pjrt_api *api, void *client, const void *bytes, size_t size) {
  PJRT_Executable_DeserializeAndLoad_Args args = {sizeof args, NULL, client, bytes, size, NULL, NULL, 0};
  return failed(api, pjrt_call(api, PJRT_Executable_DeserializeAndLoad, &args)) ? NULL : args.loaded_executable;
}
