// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/** What became of an access to memory. */
public enum Outcome {
    /** Done. */
    OK,

    /**
     * The IOMMU refused: the address is not mapped, the permission is missing, or the endpoint is
     * not attached. The fault has been reported; the device completes its request with an error of
     * its own.
     */
    FAULT,

    /**
     * The address is allowed, but no memory is there now. VMMs take RAM away and bring it back
     * while rings are live, so this is no fault: the device keeps its request and tries again when
     * memory changes.
     */
    ABSENT,

    /**
     * Memory is there but cannot be touched so: a write to read-only memory, or memory for which
     * the VMM gave no file descriptor (ROM). Trying again does not help, and it is no IOMMU fault
     * either.
     */
    REFUSED
}
