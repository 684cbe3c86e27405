// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * The registers of a virtual VT-d unit as its driver reaches them: 64 bits at offsets of {@code
 * VtdVirtualCommand}. One call at a time, under the allocator's lock.
 */
public interface VcmdRegisters {
    long read(int offset);

    void write(int offset, long value);
}
