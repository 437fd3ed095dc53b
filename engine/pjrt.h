// The part of PJRT's C interface that sharing and keeping executables takes. The interface is stable within a major version: structures
// and the table of functions only grow at their ends, and each tells its size. TestPJRTLayout compares this file with the
// interface's own header.
#ifndef TRUSTBOOK_PJRT_H
#define TRUSTBOOK_PJRT_H

#include <stddef.h>

typedef struct {
  size_t struct_size;
  void *extension_start;
  struct {
    size_t struct_size;
    void *extension_start;
    int major_version;
    int minor_version;
  } pjrt_api_version;
  void *functions[];
} pjrt_api;

// Places in the table of functions, each of which takes a structure and returns an error, or NULL; the first returns nothing.
enum {
  PJRT_Error_Destroy = 0,
  PJRT_Client_Create = 10,
  PJRT_Client_Destroy = 11,
  PJRT_Client_Compile = 20,
  PJRT_Executable_Destroy = 40,
  PJRT_Executable_Serialize = 49,
  PJRT_LoadedExecutable_Destroy = 50,
  PJRT_LoadedExecutable_GetExecutable = 51,
  PJRT_Executable_DeserializeAndLoad = 56,
};

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *error;
} PJRT_Error_Destroy_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  const void *create_options;
  size_t num_options;
  void *kv_get_callback;
  void *kv_get_user_arg;
  void *kv_put_callback;
  void *kv_put_user_arg;
  void *client; // out
} PJRT_Client_Create_Args; // newer ones are longer

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *client;
} PJRT_Client_Destroy_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  char *code;
  size_t code_size;
  const char *format;
  size_t format_size;
} PJRT_Program;

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *client;
  const PJRT_Program *program;
  const char *compile_options;
  size_t compile_options_size;
  void *executable; // out
} PJRT_Client_Compile_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *executable;
} PJRT_LoadedExecutable_Destroy_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *loaded_executable;
  void *executable; // out
} PJRT_LoadedExecutable_GetExecutable_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *executable;
} PJRT_Executable_Destroy_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  const void *executable;
  const char *serialized_bytes; // out
  size_t serialized_bytes_size; // out
  void *serialized_executable;  // out
  void (*serialized_executable_deleter)(void *); // out
} PJRT_Executable_Serialize_Args;

typedef struct {
  size_t struct_size;
  void *extension_start;
  void *client;
  const char *serialized_executable;
  size_t serialized_executable_size;
  void *loaded_executable; // out
  const char *overridden_serialized_compile_options;
  size_t overridden_serialized_compile_options_size;
} PJRT_Executable_DeserializeAndLoad_Args;

// sharing_api copies a plugin's table and puts the functions that share executables in place of the plugin's. It is NULL
// for a second plugin, and where the plugin's interface is another than this file's. The copy lives as long as the process,
// as the plugin does.
pjrt_api *sharing_api(const pjrt_api *api);

// plugin_call calls a function of that plugin.
void *plugin_call(int function, void *args);

// destroy_executable has that plugin destroy an executable, and returns its error.
void *destroy_executable(void *executable);

// serialize fills args for a loaded executable and returns 0, or not 0 where the plugin cannot. serialized_free gives back what
// it allocated.
int serialize(void *loaded, PJRT_Executable_Serialize_Args *args);
void serialized_free(PJRT_Executable_Serialize_Args *args);

// deserialize returns a loaded executable, or NULL where the plugin cannot read it.
void *deserialize(void *client, const void *bytes, size_t size);

// keep_memory has the C library keep memory that is freed for what comes next, up to 256 MiB at the end of each of its heaps, in place
// of giving it back to the system above a few MiB.
void keep_memory(void);

#endif
