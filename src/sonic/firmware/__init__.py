"""From a network to firmware for FPGAs: fixed point, emulators that give the firmware's bits, and their proof."""
