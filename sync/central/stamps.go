package central

import (
	"os"
	"time"
)

// Stamp of a file or a folder: another one where something was written.
type Stamp struct {
	Modified time.Time
	Size     int64
}

// Stamps of what the folder holds, for who keeps what he has read of it. A folder's is
// another one after any of its files was written, because that is done by a rename.
type Stamps struct {
	Sites, Signed, Trail, Records, Taken Stamp
}

// Stamps as they are now.
func (f *Folder) Stamps() Stamps {
	of := func(name string) (s Stamp) {
		if st, err := os.Stat(f.path(name)); err == nil {
			s = Stamp{st.ModTime(), st.Size()}
		}
		return s
	}
	return Stamps{of("sites"), of("tuf/repo"), of(auditFile), of(fleetLogFile), of(takenFile)}
}
