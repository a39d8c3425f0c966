"""FPGA cards as the backend ``fpga`` sees them: real ones through AMD's XRT, and one whose time is modelled."""
