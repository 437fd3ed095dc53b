package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ProgramsEnv is the environment variable with the folder that compiled programs are kept in: a path; "on",
// which stands for $TRUSTBOOK_CACHE/programs, else trustbook/programs in the user's cache folder; or "off".
const ProgramsEnv = "TRUSTBOOK_PROGRAMS"

// programsFolder is the absolute path of the folder that a setting stands for, "" for none. A user without a cache folder
// has none either.
func programsFolder(setting string) (string, error) {
	if setting == "" {
		setting = os.Getenv(ProgramsEnv)
	}
	switch setting {
	case "off":
		setting = ""
	case "on":
		if dir := os.Getenv("TRUSTBOOK_CACHE"); dir != "" {
			setting = filepath.Join(dir, "programs")
		} else if cache, err := os.UserCacheDir(); err == nil {
			setting = filepath.Join(cache, "trustbook", "programs")
		} else {
			setting = ""
		}
	}
	if setting == "" {
		return "", nil
	}
	dir, err := filepath.Abs(setting)
	if err != nil {
		return "", fmt.Errorf("engine: folder of compiled programs %q: %w", setting, err)
	}
	return dir, nil
}

// UserPrograms is the setting of [Options] for who works at a terminal or in a notebook: what [ProgramsEnv] says, else "on".
func UserPrograms() string { return cmp.Or(os.Getenv(ProgramsEnv), "on") }

// ProgramsIn tells what lies in the folder that a setting of [Options] stands for: its path, "" where that is none, how many
// programs, and their bytes. The error says why it is not used.
func ProgramsIn(setting string) (dir string, programs int, size int64, err error) {
	if dir, err = programsFolder(setting); dir == "" || err != nil {
		return dir, 0, 0, err
	}
	if _, err := os.Lstat(dir); err == nil && !isPrivate(dir) {
		return dir, 0, 0, fmt.Errorf("engine: %s is not a folder that this user alone may write to, as compiled programs ask for", dir)
	}
	files, size := programFiles(dir)
	return dir, len(files), size, nil
}

// ClearPrograms removes the compiled programs that lie in the folder that a setting of [Options] stands for, and tells where
// that is, how many there were, and their bytes. What else lies there stays.
func ClearPrograms(setting string) (dir string, programs int, size int64, err error) {
	if dir, _, _, err = ProgramsIn(setting); dir == "" || err != nil {
		return dir, 0, 0, err
	}
	files, _ := programFiles(dir)
	for _, f := range files {
		err := os.Remove(filepath.Join(dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) { // another process was quicker
			continue
		}
		if err != nil {
			return dir, programs, size, fmt.Errorf("engine: compiled programs: %w", err)
		}
		programs, size = programs+1, size+f.Size()
	}
	return dir, programs, size, nil
}
