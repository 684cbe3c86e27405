package org.ioasis.memory;

/** What a device does to memory. Permissions are exact: a write needs WRITE, a read needs READ. */
public enum Access {
    READ,
    WRITE
}
