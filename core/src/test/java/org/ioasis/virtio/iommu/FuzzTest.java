package org.ioasis.virtio.iommu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.ioasis.virtio.iommu.FuzzTargets.Target;
import org.junit.jupiter.api.Test;

/**
 * The corpus, each time; and new inputs made from it for {@code -Dioasis.fuzz.seconds} (2 when not
 * given): by chance from a seed, without any feedback from coverage.
 */
class FuzzTest {
    private static final int LONGEST = 4096;

    private static Map<Target, List<byte[]>> corpus() throws IOException {
        Map<Target, List<byte[]>> corpus = new EnumMap<>(Target.class);
        for (Target target : Target.values()) {
            corpus.put(target, new ArrayList<>());
        }
        try (InputStream in = FuzzTest.class.getResourceAsStream("corpus.txt")) {
            if (in == null) {
                throw new IOException("no corpus.txt beside " + FuzzTest.class);
            }
            for (String line : new String(in.readAllBytes(), UTF_8).lines().toList()) {
                if (!line.startsWith("#")) {
                    String[] fields = line.split(" ", -1);
                    Objects.requireNonNull(corpus.get(Target.valueOf(fields[0])))
                            .add(HexFormat.of().parseHex(fields[2]));
                }
            }
        }
        return corpus;
    }

    private static void run(Target target, byte[] input) {
        try {
            FuzzTargets.run(target, input);
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError(
                    "%s NAME %s\n%s"
                            .formatted(target, HexFormat.of().formatHex(input), e.getMessage()),
                    e);
        }
    }

    @Test
    void theCorpusHolds() throws IOException {
        int inputs = 0;
        for (Map.Entry<Target, List<byte[]>> target : corpus().entrySet()) {
            for (byte[] input : target.getValue()) {
                run(target.getKey(), input);
                inputs++;
            }
        }
        assertThat(inputs).isGreaterThanOrEqualTo(Target.values().length);
    }

    @Test
    void newInputsHold() throws IOException {
        long seconds = Long.getLong("ioasis.fuzz.seconds", 2);
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        SplittableRandom random = new SplittableRandom(seed);
        Map<Target, List<byte[]>> corpus = corpus();
        List<Target> targets = List.copyOf(corpus.keySet());
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        long runs = 0;
        do {
            Target target = targets.get(random.nextInt(targets.size()));
            List<byte[]> pool = Objects.requireNonNull(corpus.get(target));
            run(target, mutant(random, pool));
            runs++;
        } while (System.nanoTime() - end < 0);
        System.out.println("fuzz: seed " + seed + ", " + runs + " inputs, no finding");
        assertThat(runs).isPositive();
    }

    private static byte[] mutant(SplittableRandom random, List<byte[]> pool) {
        if (random.nextInt(3) == 0) {
            byte[] fresh = new byte[random.nextInt(1, LONGEST)];
            random.nextBytes(fresh);
            return fresh;
        }
        byte[] input = pool.get(random.nextInt(pool.size())).clone();
        int changes = 1 + random.nextInt(8);
        for (int i = 0; i < changes; i++) {
            input = change(random, input, pool);
        }
        return input;
    }

    private static byte[] change(SplittableRandom random, byte[] input, List<byte[]> pool) {
        int at = random.nextInt(input.length + 1);
        return switch (random.nextInt(4)) {
            case 0 -> {
                if (at < input.length) {
                    input[at] ^= (byte) (1 << random.nextInt(8));
                }
                yield input;
            }
            case 1 -> { // less
                int to = Math.min(input.length, at + 1 + random.nextInt(16));
                byte[] less = Arrays.copyOf(input, input.length - (to - at));
                System.arraycopy(input, to, less, at, input.length - to);
                yield less;
            }
            case 2 -> { // more
                byte[] block = new byte[1 + random.nextInt(64)];
                random.nextBytes(block);
                yield joined(Arrays.copyOf(input, at), block, input, at);
            }
            default -> { // another's end
                byte[] other = pool.get(random.nextInt(pool.size()));
                yield joined(
                        Arrays.copyOf(input, at), new byte[0], other, Math.min(at, other.length));
            }
        };
    }

    private static byte[] joined(byte[] head, byte[] middle, byte[] tail, int from) {
        int length = Math.min(LONGEST, head.length + middle.length + tail.length - from);
        byte[] all = Arrays.copyOf(head, length);
        int fits = Math.min(middle.length, Math.max(0, length - head.length));
        System.arraycopy(middle, 0, all, Math.min(head.length, length), fits);
        int at = Math.min(length, head.length + middle.length);
        System.arraycopy(tail, from, all, at, length - at);
        return all;
    }
}
