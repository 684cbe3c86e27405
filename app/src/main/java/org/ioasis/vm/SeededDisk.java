// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;

/**
 * A disk whose content follows from a 64-bit seed. The 64-bit little-endian word at offset 8·i is
 * {@code mix(seed + (i + 1) · 0x9e3779b97f4a7c15)} modulo 2^64, where mix is the finalizer of
 * SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014). So
 * every block of every run differs, and each can be computed alone: a copy is judged against the
 * seed and not against a file that the guest had access to. Any thread.
 *
 * @param bytes size, a multiple of {@link #BLOCK}
 */
public record SeededDisk(long seed, long bytes) {
    /** The unit in which a difference is reported: a logical block of virtio-blk. */
    public static final int BLOCK = 512;

    /** The size that the guest's check uses. */
    public static final long DEFAULT_BYTES = 256L << 20;

    private static final int CHUNK = 1 << 20;
    private static final long GOLDEN_GAMMA = 0x9e3779b97f4a7c15L;

    /**
     * The first byte in which a copy differs.
     *
     * @param offset from the start of the disk; block is {@code offset / 512}
     */
    public record Difference(long block, long offset, int expected, int actual) {
        @Override
        public String toString() {
            return "block %d (byte offset 0x%x): expected 0x%02x, found 0x%02x"
                    .formatted(block, offset, expected, actual);
        }
    }

    public SeededDisk {
        if (bytes <= 0 || bytes % BLOCK != 0) {
            throw new IllegalArgumentException("not a positive number of blocks: " + bytes);
        }
    }

    /** Writes the disk to a new file and returns its SHA-256 in hexadecimal. */
    public String write(Path file) throws IOException {
        MessageDigest digest = sha256();
        ByteBuffer chunk = newChunk();
        try (FileChannel out =
                FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long offset = 0; offset < bytes; offset += chunk.limit()) {
                fill(chunk, offset);
                digest.update(chunk.duplicate());
                while (chunk.hasRemaining()) {
                    out.write(chunk);
                }
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /**
     * Fills {@code to} with what the disk has from {@code offset} on, or as much as there is.
     *
     * @param offset a multiple of 8, {@code 0..bytes}
     * @param to has room for a multiple of 8
     */
    public void read(long offset, ByteBuffer to) {
        long end = Math.min(bytes, offset + to.remaining());
        for (long at = offset; at < end; at += Long.BYTES) {
            to.putLong(Long.reverseBytes(word(at)));
        }
    }

    /** SHA-256 of the disk, in hexadecimal. */
    public String hash() {
        MessageDigest digest = sha256();
        ByteBuffer chunk = newChunk();
        for (long offset = 0; offset < bytes; offset += chunk.limit()) {
            fill(chunk, offset);
            digest.update(chunk.duplicate());
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Compares a copy, which must have exactly this size; empty when it is equal. */
    public Optional<Difference> compare(Path copy) throws IOException {
        ByteBuffer expected = newChunk();
        ByteBuffer actual = newChunk();
        try (FileChannel in = FileChannel.open(copy, StandardOpenOption.READ)) {
            if (in.size() != bytes) {
                throw new IOException(copy + " has " + in.size() + " bytes, not " + bytes);
            }
            for (long offset = 0; offset < bytes; offset += expected.limit()) {
                fill(expected, offset);
                actual.clear().limit(expected.limit());
                while (actual.hasRemaining()) {
                    if (in.read(actual) < 0) {
                        throw new IOException(copy + " became shorter while it was read");
                    }
                }
                actual.flip();
                int at = expected.mismatch(actual);
                if (at >= 0) {
                    return Optional.of(
                            new Difference(
                                    (offset + at) / BLOCK,
                                    offset + at,
                                    expected.get(at) & 0xff,
                                    actual.get(at) & 0xff));
                }
            }
        }
        return Optional.empty();
    }

    /** Makes the chunk the part of the disk that starts at {@code offset}, ready to be read. */
    private void fill(ByteBuffer chunk, long offset) {
        chunk.clear().limit((int) Math.min(CHUNK, bytes - offset));
        for (int at = 0; at < chunk.limit(); at += Long.BYTES) {
            chunk.putLong(at, word(offset + at));
        }
    }

    /** The word at {@code offset}, a multiple of 8. */
    private long word(long offset) {
        return mix(seed + (offset / Long.BYTES + 1) * GOLDEN_GAMMA);
    }

    private static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
        return b ^ (b >>> 31);
    }

    private static ByteBuffer newChunk() {
        return ByteBuffer.allocate(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
