package gpu

// architecture names the generation of a compute capability, after NVIDIA's
// table of CUDA GPUs; "" for one that is not known.
func architecture(compute string) string {
	switch compute {
	case "5.0", "5.2", "5.3":
		return "Maxwell"
	case "6.0", "6.1", "6.2":
		return "Pascal"
	case "7.0", "7.2":
		return "Volta"
	case "7.5":
		return "Turing"
	case "8.0", "8.6", "8.7":
		return "Ampere"
	case "8.9":
		return "Ada"
	case "9.0":
		return "Hopper"
	case "10.0", "10.1", "10.3", "11.0", "12.0", "12.1":
		return "Blackwell"
	}
	return ""
}
