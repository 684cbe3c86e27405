// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rogue;

import java.lang.foreign.MemorySegment;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;

/**
 * Makes a device lie: issues accesses through the device's own {@link Dma} that its driver never
 * asked for, beside what the device does properly. It has no way to memory but that one, so what it
 * reaches is what the IOMMU lets this endpoint reach.
 *
 * <p>{@link #fire} is for any thread. The accesses run on the device's thread, each in a guarded
 * section of its own so that each refusal is a fault of its own, in batches of at most {@link
 * #BATCH_ACCESSES} accesses or {@link #BATCH_BYTES} bytes; between two batches the thread does its
 * other work.
 */
public final class Rogue {
    /** Most accesses in a row. */
    public static final int BATCH_ACCESSES = 256;

    /** Bytes in a row after which no further access begins. */
    public static final long BATCH_BYTES = 1 << 20;

    private final Dma dma;
    private final Executor deviceThread;

    /**
     * @param dma the device's
     * @param deviceThread runs things later on the thread that {@code dma} belongs to; never at
     *     once inside {@code execute}
     */
    public Rogue(Dma dma, Executor deviceThread) {
        this.dma = dma;
        this.deviceThread = deviceThread;
    }

    /**
     * The byte that a write puts at offset {@code i} of its target: no zero, and not what memory is
     * usually full of.
     */
    public static byte pattern(int i) {
        return (byte) ((0xa5 ^ (i * 31)) | 1);
    }

    /**
     * Fires. The result comes on the device's thread; exceptionally with a {@link
     * RejectedExecutionException} if that thread ends before the volley does.
     */
    public CompletableFuture<Tally> fire(Volley volley) {
        Run run = new Run(volley);
        run.goOn();
        return run.result;
    }

    private final class Run {
        final CompletableFuture<Tally> result = new CompletableFuture<>();
        private final Volley volley;
        private final byte[] bytes;
        private final MemorySegment buffer;
        private final MessageDigest digest = sha256();
        private long next;
        private long ok;
        private long faults;
        private long absent;
        private long refused;

        Run(Volley volley) {
            this.volley = volley;
            bytes = new byte[volley.length()];
            buffer = MemorySegment.ofArray(bytes);
            if (volley.access() == Access.WRITE) {
                for (int i = 0; i < bytes.length; i++) {
                    bytes[i] = pattern(i);
                }
            }
        }

        void goOn() {
            try {
                deviceThread.execute(this::batch);
            } catch (RejectedExecutionException e) {
                result.completeExceptionally(e);
            }
        }

        private void batch() {
            long copied = 0;
            for (int i = 0;
                    i < BATCH_ACCESSES && copied < BATCH_BYTES && next < volley.count();
                    i++) {
                access(volley.aim().at(next++));
                copied += volley.length();
            }
            if (next < volley.count()) {
                goOn();
            } else {
                result.complete(tally());
            }
        }

        private void access(long address) {
            Outcome outcome;
            dma.enter();
            try {
                outcome =
                        switch (volley.access()) {
                            case READ -> dma.read(address, buffer, 0, bytes.length);
                            case WRITE -> dma.write(address, buffer, 0, bytes.length);
                        };
            } finally {
                dma.leave();
            }
            switch (outcome) {
                case OK -> {
                    ok++;
                    if (volley.access() == Access.READ) {
                        digest.update(bytes);
                    }
                }
                case FAULT -> faults++;
                case ABSENT -> absent++;
                case REFUSED -> refused++;
            }
        }

        private Tally tally() {
            return new Tally(
                    ok, faults, absent, refused, HexFormat.of().formatHex(digest.digest()));
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
