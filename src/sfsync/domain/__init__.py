"""Pure decisions about stock: values in, values out; nothing here waits, reads a clock or does I/O."""
