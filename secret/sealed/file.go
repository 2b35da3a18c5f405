package sealed

import (
	"errors"
	"fmt"
	"io"
	"os"

	"pierhead.dev/pierhead/internal/durable"
)

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 64 << 10

// WriteKeys replaces the file at path by the keys: mode 0600, written beside it, synced and renamed, so that a crash
// leaves either the old keys or the new ones.
func WriteKeys(path string, keys Keys) error {
	if len(keys) == 0 {
		return errors.New("writing data keys: there is none") // an empty file would lose every sealed credential
	}
	text, err := keys.Marshal()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(durable.OS{}, path, text); err != nil {
		return fmt.Errorf("writing data keys: %w", err)
	}
	return nil
}

// ReadKeys reads what WriteKeys wrote. A file that is not regular, that others can write, or that everybody can read
// is refused with ErrExposed; errors.Is finds fs.ErrNotExist and ErrGarbled as well.
func ReadKeys(path string) (Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading data keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading data keys: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o027 != 0 {
		return nil, fmt.Errorf("reading data keys: %s has mode %v: %w", path, mode, ErrExposed)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading data keys: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("reading data keys: %s: %w", path, garbled("it is longer than %d KiB", maxKeyFile>>10))
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("reading data keys: %s: %w", path, err)
	}
	return keys, nil
}
