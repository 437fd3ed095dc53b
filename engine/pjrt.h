// The part of PJRT's C interface that sharing executables takes. The interface is stable within a major version: structures
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

// Places in the table of functions, each of which takes a structure and returns an error, or NULL.
enum {
  PJRT_Client_Destroy = 11,
  PJRT_Client_Compile = 20,
  PJRT_LoadedExecutable_Destroy = 50,
};

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

// sharing_api copies a plugin's table and puts the functions that share executables in place of the plugin's. It is NULL
// for a second plugin, and where the plugin's interface is another than this file's. The copy lives as long as the process,
// as the plugin does.
pjrt_api *sharing_api(const pjrt_api *api);

// plugin_call calls a function of that plugin.
void *plugin_call(int function, void *args);

// destroy_executable has that plugin destroy an executable, and returns its error.
void *destroy_executable(void *executable);

// keep_memory has the C library keep memory that is freed for what comes next, up to 256 MiB at the end of each of its heaps, in place
// of giving it back to the system above a few MiB.
void keep_memory(void);

#endif
