// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.util.List;

/**
 * A message of the front end by what it carries, its sizes checked; {@code type} is one of {@link
 * org.ioasis.spec.VhostUser}. Whether it can be done now is the session's to find out. Loop thread.
 */
sealed interface Request {
    /** Nothing but its type. */
    record Plain(int type) implements Request {}

    record Value(int type, long value) implements Request {}

    /**
     * @param index u32, unsigned
     * @param num u32
     */
    record VringState(int type, long index, int num) implements Request {}

    /** User addresses of a ring's three parts. */
    record VringAddress(long index, int flags, long descriptor, long used, long available)
            implements Request {}

    /** A descriptor for a ring, or none from now on. */
    record VringFd(int type, long index, boolean hasFd) implements Request {}

    /**
     * A log of chains in flight.
     *
     * @param bytes u64, unsigned
     * @param offset u64, unsigned
     * @param queues u16
     * @param entries for each of them, u16
     */
    record Inflight(int type, long bytes, long offset, int queues, int entries)
            implements Request {}

    record Table(List<MemoryRegion> regions) implements Request {}

    record OneRegion(int type, MemoryRegion region) implements Request {}

    /**
     * A part of the configuration; {@code offset + size} is at most {@link
     * org.ioasis.spec.VhostUser#CONFIG_MAX}. What is to be written lies in the input buffer.
     */
    record Config(int type, int offset, int size, int flags) implements Request {}
}
