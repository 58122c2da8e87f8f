package gpu

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// onBus counts the NVIDIA display controllers on the PCI bus, driver or not.
func onBus() int { return countOnBus(os.DirFS("/sys/bus/pci/devices")) }

func countOnBus(devices fs.FS) int {
	entries, err := fs.ReadDir(devices, ".")
	if err != nil {
		return 0 // no PCI bus, or not to be seen from a container
	}
	n := 0
	for _, e := range entries {
		vendor, _ := fs.ReadFile(devices, path.Join(e.Name(), "vendor"))
		class, _ := fs.ReadFile(devices, path.Join(e.Name(), "class"))
		// Base class 03 is a display controller; 0302 a 3D one, as data centre
		// cards are. The cards' sound functions are left out.
		if strings.TrimSpace(string(vendor)) == "0x10de" && strings.HasPrefix(string(class), "0x03") {
			n++
		}
	}
	return n
}

// Board names the machine where its device tree does, as a Jetson's: such as
// "NVIDIA Jetson AGX Orin Developer Kit". "" elsewhere.
func Board() string {
	b, err := os.ReadFile("/proc/device-tree/model")
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00\n ")
}
