package store

import (
	"context"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// Bounds of logs, in bytes.
const (
	LogLimit   = 64 << 20 // of one execution; an agent ends the log with a notice before it gets there
	AppendMost = 1 << 20  // of one AppendLog
	ReadMost   = 1 << 20  // of one ExecutionLog
)

// AppendLog adds to an execution's log, from the node that it was given to, also after its end. offset is where data
// begins in the whole log: what the log has already is passed over, so a repeated call is harmless. It returns how many
// bytes the log has now. Errors: ErrConflict for a gap between the log's end and offset, and for a log that would grow
// past LogLimit; ErrBadInput for more than AppendMost bytes.
func (s *Store) AppendLog(ctx context.Context, c pierhead.Caller, id string, offset int64, data []byte) (int64, error) {
	var size int64
	err := s.change(ctx, c, access.ExecutionAppend, "execution "+id, func(k *call) error {
		k.silent = true // the log is an entry of its own, so to speak
		x, err := k.allowedExecution(access.ExecutionAppend, id)
		if err != nil {
			return err
		}
		size = x.noun.LogSize
		switch {
		case offset < 0 || len(data) > AppendMost:
			return badInput("log: at most %d bytes at once, from offset 0 on", "", AppendMost)
		case offset > size:
			return conflict("log of %s: it has %d bytes, and %d to %d are missing", "send them first", id, size, size, offset)
		case offset+int64(len(data)) > LogLimit:
			return conflict("log of %s: it would be longer than %d MiB", "write large outputs to a mounted directory", id, LogLimit>>20)
		case offset+int64(len(data)) <= size:
			k.nothing = true
			return nil
		}
		data = data[size-offset:]
		if _, err := k.exec(`INSERT INTO log_chunks (execution_seq, position, data) VALUES (?, ?, ?)`, x.seq, size, data); err != nil {
			return err
		}
		size += int64(len(data))
		_, err = k.exec(`UPDATE executions SET log_size = ? WHERE seq = ?`, size, x.seq)
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}

// ExecutionLog reads up to most bytes of an execution's log from offset on (ReadMost where most is 0 or more than
// that). An empty answer means that the log has no more bytes than offset yet. Errors: ErrBadInput for a negative
// offset.
func (s *Store) ExecutionLog(ctx context.Context, c pierhead.Caller, id string, offset int64, most int) ([]byte, error) {
	var data []byte
	err := s.view(ctx, c, access.ExecutionLog, "execution "+id, func(k *call) error {
		x, err := k.allowedExecution(access.ExecutionLog, id)
		if err != nil {
			return err
		}
		if offset < 0 {
			return badInput("log: the offset is negative", "")
		}
		data, err = k.readLog(x, offset, limit(most, ReadMost, ReadMost))
		return err
	})
	return data, err
}

// readLog reads chunk after chunk, from the one that offset lies in on, until it has enough.
func (k *call) readLog(x execution, offset int64, most int) ([]byte, error) {
	if offset >= x.noun.LogSize {
		return nil, nil
	}
	rows, err := k.tx.QueryContext(k.ctx, `SELECT position, data FROM log_chunks WHERE execution_seq = ? AND position >=
		(SELECT MAX(position) FROM log_chunks WHERE execution_seq = ? AND position <= ?) ORDER BY position`, x.seq, x.seq, offset)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	data := make([]byte, 0, min(int64(most), x.noun.LogSize-offset))
	for len(data) < most && rows.Next() {
		var position int64
		var chunk []byte
		if err := rows.Scan(&position, &chunk); err != nil {
			return nil, err
		}
		chunk = chunk[max(0, offset-position):]
		data = append(data, chunk[:min(len(chunk), most-len(data))]...)
	}
	return data, rows.Err()
}
