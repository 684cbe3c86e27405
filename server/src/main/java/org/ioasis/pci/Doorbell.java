// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

/**
 * A write that says nothing but that it has come: whoever catches the guest's accesses may signal
 * an eventfd in its place (vfio-user, "Region I/O via file descriptors"). Immutable; any thread.
 *
 * @param region of the register, a BAR
 * @param size of the write, in bytes: 1, 2, 4 or 8
 * @param value what must be written; other values are no such writes
 */
public record Doorbell(int region, long offset, int size, long value) {}
