// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * A device's way to memory: every access of an endpoint goes through one of these. Addresses are
 * what the device was given by its driver: IOVAs behind an IOMMU, guest-physical addresses
 * otherwise; 64-bit unsigned.
 *
 * <p>Accesses happen in a <em>guarded section</em>, {@link #enter()} to {@link #leave()}:
 * microseconds long, without any blocking or system call. UNMAP, DETACH, reset and memory removal
 * are answered only when no section that began before them is open, so nothing learned inside a
 * section (a resolved address above all) may be kept after it. One section per descriptor chain or
 * batch, not per address. Whatever must span a system call is copied through a bounce buffer or
 * {@linkplain #pin pinned}.
 *
 * <p>An instance belongs to one thread and is not reentrant. It allocates nothing except in {@link
 * #pin}.
 */
public interface Dma {

    /** Opens the guarded section. Not nested. */
    void enter();

    /** Closes the section; reports the faults that happened in it. */
    void leave();

    /**
     * Which section is open, never 0: a number that no other section of this instance has. Where an
     * address leads may be kept together with it, for as long as it is the same.
     */
    long section();

    /**
     * The device has begun to work by its driver's order, as a virtio device does with DRIVER_OK.
     * On the loop thread, like {@link #deviceReset}.
     */
    default void deviceStarted() {}

    /**
     * The device has been reset: nothing that it did before reaches memory any more. What its
     * driver was told of addresses need not hold for what comes now.
     */
    default void deviceReset() {}

    /**
     * Finds memory for the access {@code address .. address + length - 1}, {@code length >= 1}. If
     * OK, the bytes from {@code address} on are at {@link #offset()} of {@link #segment()}, as far
     * as {@link #reach()} ({@code 1..length}) says: the access may go on elsewhere from there. Only
     * permissions for the bytes within reach have been checked. Valid until the next call or the
     * end of the section.
     */
    Outcome resolve(long address, long length, Access access);

    /**
     * As {@link #resolve} for reading, and of no consequence: a refusal is not reported, and
     * nothing is counted. For who looks whether there is something to do where nobody has asked it
     * to.
     */
    default Outcome peek(long address, long length) {
        return resolve(address, length, Access.READ);
    }

    /**
     * As {@link #resolve} for reading, if that finds all of {@code length} bytes in one piece.
     * Where it would not, false, and no more consequence than a {@link #peek} has, unless what is
     * looked through has changed between the two looks.
     */
    default boolean resolveWhole(long address, long length) {
        return peek(address, length) == Outcome.OK
                && reach() == length
                && resolve(address, length, Access.READ) == Outcome.OK
                && reach() == length;
    }

    /**
     * As {@link #resolve}, for {@code address} right after what the last successful call of this
     * section resolved, and for the same access: what makes one of many pieces cheaper, because the
     * mappings are gone through in order. Not for a new access that happens to begin there.
     */
    default Outcome proceed(long address, long length, Access access) {
        return resolve(address, length, access);
    }

    /**
     * Whether the two bytes that the last successful {@link #resolve} found can be one access: an
     * IOMMU with a granule of one byte can put an even address on an odd one, or tear it apart.
     */
    boolean isShort();

    /**
     * Reads the 16-bit number (little-endian, {@code 0..65535}) that the last {@link #resolve} for
     * READ found, in one access. Only where {@link #isShort}.
     *
     * @param acquire later accesses stay behind it; otherwise opaque
     */
    int loadShort(boolean acquire);

    /**
     * Writes the 16-bit number that the last {@link #resolve} for WRITE found, in one access. Only
     * where {@link #isShort}.
     *
     * @param release earlier accesses stay before it; otherwise opaque
     */
    void storeShort(int value, boolean release);

    /**
     * The eight bytes, least significant first, that lie {@code from} bytes behind where the last
     * {@link #resolve} for READ ended up; {@code from + 8} is not beyond {@link #reach}.
     */
    long loadLong(long from);

    /** As {@link #isShort}, of eight bytes. */
    boolean isLong();

    /**
     * Writes the eight bytes, least significant first, that lie {@code from} bytes behind where the
     * last {@link #resolve} for WRITE ended up, in one access; {@code from} is a multiple of 8, and
     * {@code from + 8} is not beyond {@link #reach}. Only where {@link #isLong}.
     *
     * @param release earlier accesses stay before it; otherwise plain
     */
    void storeLong(long from, long value, boolean release);

    /**
     * Where the last successful {@link #resolve} ended up, to be looked at: what is written goes
     * through {@link #write}, {@link #storeShort} and {@link #storeLong}. Bounded: holds nothing
     * but one region of guest memory.
     */
    MemorySegment segment();

    /** Byte offset in {@link #segment()}. */
    long offset();

    /** Number of bytes that the last successful {@link #resolve} covers. */
    long reach();

    /**
     * Copies {@code length >= 0} bytes from memory. Follows the access over mappings and regions.
     * On anything but OK the target's content is undefined.
     */
    Outcome read(long address, MemorySegment target, long targetOffset, long length);

    /**
     * As {@link #read}, for a few bytes that are looked at one by one: into the words from their
     * byte {@code at} on, of which byte 0 is the least significant of the first. What the words
     * have in these bytes before is 0.
     */
    Outcome readWords(long address, long[] words, int at, int length);

    /**
     * As {@link #write}, for {@code count >= 1} words from {@code from} on, least significant byte
     * first.
     */
    Outcome writeWords(long address, long[] words, int from, int count);

    /** As {@link #write}, for four bytes, least significant first. */
    Outcome writeInt(long address, int value);

    /**
     * Copies {@code length >= 0} bytes to memory. On anything but OK a part may have been written,
     * as with any DMA; never outside what the driver allowed.
     */
    Outcome write(long address, MemorySegment source, long sourceOffset, long length);

    /**
     * Pins the longest contiguous piece at the start of {@code address .. address + length - 1}
     * until the lease is closed or {@code deadlineNanos} of the engine's clock has passed, for an
     * access that must span a system call. Called outside a section. Returns null where {@link
     * #resolve} would not say OK (a fault has been reported) or when the limit of leases is
     * reached.
     */
    @Nullable Lease pin(long address, long length, Access access, long deadlineNanos);
}
