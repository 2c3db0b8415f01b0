package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// maxDeepCheck is the size in bytes up to which every page of the database is
// visited before use; above it that would cost seconds at each start.
const maxDeepCheck = 64 << 20

// checkStore reads an existing store the way etcd will, but returns errors where
// etcd panics or ends the process. An absent store is fine; a log that ends in
// the middle of a record is too (a crash leaves that, and etcd repairs it).
func checkStore(path string) (err error) {
	member := filepath.Join(path, "member")
	if _, err := os.Stat(member); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	// A damaged file is memory-mapped and may point outside itself.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	logDir := filepath.Join(member, "wal")
	if !wal.Exist(logDir) {
		return checkNoLog(filepath.Join(member, "snap", "db"))
	}
	if err := checkDatabase(filepath.Join(member, "snap", "db")); err != nil {
		return err
	}
	return checkLog(logDir)
}

// checkNoLog judges a store without a log. etcd makes the database before the
// first log, so a crash at the very first start leaves an empty one, with which
// etcd begins anew; one with keys in it has lost its log.
func checkNoLog(name string) error {
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if keys := tx.Bucket([]byte("key")); keys != nil {
			if k, _ := keys.Cursor().First(); k != nil {
				return errors.New("write-ahead log: it is missing")
			}
		}
		return nil
	})
}

func checkDatabase(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second, PreLoadFreelist: true})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if tx.Bucket([]byte("key")) == nil || tx.Bucket([]byte("meta")) == nil {
			return errors.New("database: its tables are missing")
		}
		if st.Size() > maxDeepCheck {
			return nil
		}
		return walk(tx)
	})
}

// walk visits every key of every bucket, which touches every page in use.
func walk(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if len(k) == 0 {
				return errors.New("database: an empty key")
			}
			return nil
		})
	})
}

func checkLog(dir string) error {
	snaps, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	var last walpb.Snapshot
	if len(snaps) > 0 {
		last = snaps[len(snaps)-1]
	}
	if _, err := wal.Verify(zap.NewNop(), dir, last); err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	return nil
}
