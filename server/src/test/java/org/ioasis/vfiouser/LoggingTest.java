// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Outcome;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** DMA_LOGGING: which pages of a client's memory its device has written. */
@Timeout(60)
class LoggingTest {
    private static final int GET = VFIO_DEVICE_FEATURE_GET;
    private static final int SET = VFIO_DEVICE_FEATURE_SET;
    private static final int PROBE = VFIO_DEVICE_FEATURE_PROBE;
    private static final int START = VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
    private static final int STOP = VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
    private static final int REPORT = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
    private static final int RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    private static final long PAGE = 4096;
    private static final long RAM = 64 * PAGE;

    /** A function whose device writes memory when its register is written. */
    private static final class Writing implements AutoCloseable {
        final ServerFixture<RecordingFunction> server = ServerFixture.plain();
        final Fd file = Memfd.create("ioasis-vmm", RAM);
        private final DirectDma dma = new DirectDma(server.memory, server.guards.open());
        private final MemorySegment ones = MemorySegment.ofArray(new byte[(int) RAM]);

        Writing() throws IOException {
            ones.fill((byte) 1);
        }

        MockVfioUserClient ready() throws Exception {
            MockVfioUserClient client = server.ready();
            assertThat(client.map(0, RAM, 0, RW, file).isError()).isFalse();
            return client;
        }

        void write(MockVfioUserClient client, long address, int length) throws Exception {
            Outcome[] outcome = new Outcome[1];
            server.function.hook =
                    () -> {
                        dma.enter();
                        outcome[0] = dma.write(address, ones, 0, length);
                        dma.leave();
                    };
            assertThat(client.write(0, RecordingFunction.HOOK, 4, 1).isError()).isFalse();
            assertThat(outcome[0]).isEqualTo(Outcome.OK);
        }

        @Override
        public void close() throws IOException {
            server.close();
            file.close();
        }
    }

    // Payloads.

    private static byte[] feature(int room, int flags, byte[] data) {
        return new Payload(8 + data.length).u32(room).u32(flags).bytes(data).array();
    }

    /**
     * @param ranges first and length of each
     */
    private static byte[] control(long pageSize, int count, long... ranges) {
        Payload control = new Payload(16 + 8 * ranges.length).u64(pageSize).u32(count).u32(0);
        for (long field : ranges) {
            control.u64(field);
        }
        return control.array();
    }

    static byte[] start(long pageSize, long... ranges) {
        byte[] data = control(pageSize, ranges.length / 2, ranges);
        return feature(8 + data.length, START | SET, data);
    }

    static byte[] stop() {
        return feature(8, STOP | SET, new byte[0]);
    }

    private static byte[] asked(long first, long length, long pageSize) {
        return new Payload(24).u64(first).u64(length).u64(pageSize).array();
    }

    static byte[] report(long first, long length, long pageSize) {
        return feature(2 << 20, REPORT | GET, asked(first, length, pageSize));
    }

    private static MockVfioUserClient.Reply call(MockVfioUserClient client, byte[] payload)
            throws Exception {
        return client.call(VFIO_USER_DEVICE_FEATURE, payload);
    }

    private static int error(MockVfioUserClient client, byte[] payload) throws Exception {
        MockVfioUserClient.Reply reply = call(client, payload);
        return reply.isError() ? reply.error() : 0;
    }

    /** The units that are told to be written, by number. */
    static List<Integer> told(MockVfioUserClient client, long first, long length, long pageSize)
            throws Exception {
        byte[] data = call(client, report(first, length, pageSize)).data();
        assertThat(data.length).isGreaterThan(32);
        return BitSet.valueOf(Arrays.copyOfRange(data, 32, data.length)).stream().boxed().toList();
    }

    private static List<Integer> told(MockVfioUserClient client) throws Exception {
        return told(client, 0, RAM, PAGE);
    }

    // Wrong first.

    @Test
    void whatIsNoStartIsRefusedAndNothingIsLogged() throws Exception {
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            for (int size : new int[] {0, 8, 15}) {
                assertThat(error(client, feature(64, START | SET, new byte[size])))
                        .as("%d bytes", size)
                        .isEqualTo(Errno.EINVAL);
            }
            assertThat(error(client, feature(23, START | SET, control(PAGE, 0))))
                    .isEqualTo(Errno.EINVAL);
            assertThat(error(client, feature(39, START | SET, control(PAGE, 1, 0, PAGE))))
                    .isEqualTo(Errno.EINVAL);
            assertThat(error(client, feature(64, START | SET, control(PAGE, 2, 0, PAGE))))
                    .isEqualTo(Errno.EINVAL);
            assertThat(error(client, start(PAGE, 0, 0))).isEqualTo(Errno.EINVAL);
            assertThat(error(client, start(PAGE, PAGE, -PAGE + 1))).isEqualTo(Errno.EINVAL);
            assertThat(error(client, start(PAGE, 0, 2 * PAGE, PAGE, 1))).isEqualTo(Errno.EINVAL);
            assertThat(error(client, start(PAGE, PAGE, 1, 0, -1))).isEqualTo(Errno.EINVAL);
            for (int count : new int[] {FeatureCodec.RANGES_MAX + 1, Integer.MAX_VALUE, -1}) {
                assertThat(error(client, feature(1 << 20, START | SET, control(PAGE, count))))
                        .isEqualTo(Errno.E2BIG);
            }
            assertThat(error(client, report(0, RAM, PAGE)))
                    .as("not started")
                    .isEqualTo(Errno.EINVAL);

            assertThat(call(client, start(PAGE, ranges(FeatureCodec.RANGES_MAX))).isError())
                    .isFalse();
            device.write(client, 5 * PAGE, 1);
            assertThat(error(client, start(PAGE))).as("a second").isEqualTo(Errno.EINVAL);
            assertThat(told(client)).containsExactly(5);
        }
    }

    private static long[] ranges(int count) {
        long[] ranges = new long[2 * count];
        for (int i = 0; i < count; i++) {
            ranges[2 * i] = i * PAGE;
            ranges[2 * i + 1] = PAGE;
        }
        return ranges;
    }

    @Test
    void questionThatIsRefusedOrHasNoAnswerForgetsNothing() throws Exception {
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            assertThat(call(client, start(PAGE)).isError()).isFalse();
            device.write(client, 5 * PAGE, 1);
            for (int size : new int[] {0, 23}) {
                assertThat(error(client, feature(2 << 20, REPORT | GET, new byte[size])))
                        .isEqualTo(Errno.EINVAL);
            }
            for (long pageSize : new long[] {0, 3, PAGE + 1, -1}) {
                assertThat(error(client, report(0, RAM, pageSize)))
                        .as("pages of %d", pageSize)
                        .isEqualTo(Errno.EINVAL);
            }
            assertThat(error(client, report(0, 0, PAGE))).isEqualTo(Errno.EINVAL);
            assertThat(error(client, report(PAGE, -PAGE + 1, 1L << 50))).isEqualTo(Errno.EINVAL);
            byte[] exactly = asked(0, RAM, PAGE);
            assertThat(error(client, feature(39, REPORT | GET, exactly))).isEqualTo(Errno.EINVAL);
            long most = FeatureCodec.REPORT_PAGES_MAX * PAGE;
            assertThat(error(client, report(0, most + 1, PAGE))).isEqualTo(Errno.E2BIG);
            assertThat(error(client, report(0, -1, 1))).isEqualTo(Errno.E2BIG);
            int _ = client.send(VFIO_USER_DEVICE_FEATURE, FLAGS_NO_REPLY, report(0, RAM, PAGE));

            ByteBuffer told = call(client, feature(40, REPORT | GET, exactly)).fields();
            assertThat(told.remaining()).isEqualTo(40);
            assertThat(told.getLong(32)).isEqualTo(1 << 5);
            device.write(client, 6 * PAGE, 1);
            byte[] all = call(client, report(0, most, PAGE)).data();
            assertThat(all).hasSize(32 + FeatureCodec.REPORT_PAGES_MAX / 8);
            assertThat(BitSet.valueOf(all).stream().filter(bit -> bit >= 8 * 32)).hasSize(1);
            assertThat(told(client)).isEmpty();
        }
    }

    @Test
    void methodsThatThereAreNotAreRefusedAndThoseThatThereAreCanBeProbed() throws Exception {
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            byte[] none = new byte[0];
            for (int wrong :
                    new int[] {
                        START | GET,
                        STOP | GET,
                        REPORT | SET,
                        START | GET | PROBE,
                        STOP | GET | SET | PROBE,
                        REPORT | GET | SET | PROBE,
                    }) {
                assertThat(error(client, feature(64, wrong, none))).isEqualTo(Errno.ENOTSUP);
            }
            for (int right :
                    new int[] {
                        START | PROBE,
                        START | SET | PROBE,
                        STOP | SET | PROBE,
                        REPORT | PROBE,
                        REPORT | GET | PROBE
                    }) {
                byte[] probe = feature(8, right, none);
                assertThat(call(client, probe).data()).isEqualTo(probe);
            }
            assertThat(error(client, report(0, RAM, PAGE)))
                    .as("a probe starts nothing")
                    .isEqualTo(Errno.EINVAL);
        }
    }

    // As it should be.

    @Test
    void answersRepeatWhatWasAskedWithThePageSizeAndTheBitmap() throws Exception {
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            byte[] expected = start(PAGE, 0, RAM, 1L << 40, PAGE);
            assertThat(call(client, start(100, 0, RAM, 1L << 40, PAGE)).data()).isEqualTo(expected);
            device.write(client, 3 * PAGE - 1, 2);
            device.write(client, 63 * PAGE, 1);
            byte[] report = call(client, report(PAGE, RAM, 2 * PAGE)).data();
            ByteBuffer fields = ByteBuffer.wrap(report).order(ByteOrder.LITTLE_ENDIAN);
            assertThat(fields.getInt(FEATURE_ARGSZ)).isEqualTo(report.length).isEqualTo(40);
            assertThat(fields.getInt(FEATURE_FLAGS)).isEqualTo(REPORT | GET);
            assertThat(Arrays.copyOfRange(report, 8, 32)).isEqualTo(asked(PAGE, RAM, 2 * PAGE));
            assertThat(fields.getLong(32)).isEqualTo(1 | 2 | 1L << 31);
            assertThat(call(client, stop()).data()).isEqualTo(stop());
        }
    }

    @Test
    void questionsThatAreSentTogetherAreAnsweredHoweverLateTheAnswersAreRead() throws Exception {
        int count = 16;
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            assertThat(call(client, start(PAGE)).isError()).isFalse();
            device.write(client, 5 * PAGE, 1);
            long most = FeatureCodec.REPORT_PAGES_MAX * PAGE;
            long before = device.server.server.info().messages();
            for (int i = 0; i < count; i++) {
                int _ = client.send(VFIO_USER_DEVICE_FEATURE, 0, report(0, most, PAGE));
            }
            device.server.await(() -> device.server.server.info().messages() > before);
            device.server.onLoop(() -> {});
            for (int i = 0; i < count; i++) {
                byte[] data = client.receive().data();
                assertThat(data).hasSize(32 + FeatureCodec.REPORT_PAGES_MAX / 8);
                assertThat(BitSet.valueOf(Arrays.copyOfRange(data, 32, data.length)).cardinality())
                        .isEqualTo(i == 0 ? 1 : 0);
            }
            assertThat(device.server.server.info().messages()).isEqualTo(before + count);
            assertThat(told(client)).isEmpty();
        }
    }

    /** How many messages there have been at the end of each turn of the loop so far. */
    private static final class Turns implements Runnable {
        final List<Long> messages = new CopyOnWriteArrayList<>();
        private final ServerFixture<?> server;
        private final long last;

        Turns(ServerFixture<?> server, long last) {
            this.server = server;
            this.last = last;
        }

        @Override
        public void run() {
            messages.add(server.server.info().messages());
            if (messages.getLast() < last) {
                server.loop.execute(this);
            }
        }

        long most() {
            long most = 0;
            for (int i = 1; i < messages.size(); i++) {
                most = Math.max(most, messages.get(i) - messages.get(i - 1));
            }
            return most;
        }
    }

    @Test
    void clientThatStartsAndAsksAgainAndAgainLetsTheLoopGoOnAfterEachOfThem() throws Exception {
        int rounds = 20;
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready()) {
            long before = device.server.server.info().messages();
            Turns turns = new Turns(device.server, before + 3L * rounds);
            CountDownLatch isSent = new CountDownLatch(1);
            device.server.loop.execute(() -> {
                await(isSent);
                turns.run();
            });
            for (int i = 0; i < rounds; i++) {
                int _ = client.send(VFIO_USER_DEVICE_FEATURE, 0, start(PAGE));
                int _ = client.send(VFIO_USER_DEVICE_FEATURE, 0, report(0, RAM, PAGE));
                int _ = client.send(VFIO_USER_DEVICE_FEATURE, 0, stop());
            }
            isSent.countDown();
            for (int i = 0; i < 3 * rounds; i++) {
                assertThat(client.receive().isError()).isFalse();
            }
            device.server.await(() -> turns.messages.getLast() == before + 3L * rounds);
            assertThat(turns.most()).isOne();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void logOutlivesUnmapAndResetAndEndsWithStopAndWithTheSession() throws Exception {
        try (Writing device = new Writing()) {
            try (MockVfioUserClient client = device.ready()) {
                assertThat(error(client, stop())).as("of nothing").isZero();
                device.write(client, PAGE, 1);
                assertThat(call(client, start(PAGE, 0, 1)).isError()).isFalse();
                assertThat(client.map(1L << 40, RAM, 0, RW, device.file).isError()).isFalse();
                device.write(client, (1L << 40) + 7 * PAGE, 1);
                device.write(client, 8 * PAGE, 1);
                assertThat(client.reset().isError()).isFalse();
                assertThat(client.unmap(1L << 40, RAM).isError()).isFalse();
                assertThat(told(client, 1L << 40, RAM, PAGE)).containsExactly(7);
                assertThat(told(client)).containsExactly(8);

                assertThat(error(client, stop())).isZero();
                assertThat(error(client, stop())).isZero();
                assertThat(error(client, report(0, RAM, PAGE))).isEqualTo(Errno.EINVAL);
                device.write(client, 9 * PAGE, 1);
                assertThat(call(client, start(PAGE)).isError()).isFalse();
                device.write(client, 10 * PAGE, 1);
                assertThat(told(client)).containsExactly(10);
                device.write(client, 11 * PAGE, 1);
            }
            device.server.awaitNoSession();
            try (MockVfioUserClient client = device.ready()) {
                assertThat(error(client, report(0, RAM, PAGE))).isEqualTo(Errno.EINVAL);
                assertThat(call(client, start(PAGE)).isError()).isFalse();
                assertThat(told(client)).isEmpty();
            }
        }
    }

    @Test
    void memoryBeyondTheLimitCountsAsWrittenAndTheOperatorIsTold() throws Exception {
        long size = 256L << 30;
        try (Writing device = new Writing();
                MockVfioUserClient client = device.ready();
                Fd large = Memfd.create("ioasis-large", size)) {
            assertThat(call(client, start(PAGE)).isError()).isFalse();
            long first = 1L << 40;
            assertThat(client.map(first, size - (128 << 20), 0, RW, large).isError()).isFalse();
            assertThat(told(client, first, size, PAGE << 15)).as("at the limit").isEmpty();
            assertThat(client.map(first + size - (128 << 20), PAGE, 0, RW, large).isError())
                    .isFalse();
            for (int i = 0; i < 2; i++) {
                assertThat(told(client, first, size, PAGE << 15)).containsExactly(2047);
            }
            assertThat(told(client)).isEmpty();
            assertThat(device.server.log.lines())
                    .filteredOn(line -> line.contains("limit of the log"))
                    .hasSize(1);
        }
    }

    // Behind the proxy.

    @Test
    void deviceBehindTheProxyIsLoggedAtTheAddressesThatItsClientKnows() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0000 + 8 * PAGE - 1, 16 * PAGE, MapFlags.WRITE);
            assertThat(call(client, start(PAGE)).isError()).isFalse();
            assertThat(fixture.device.write(0x10_0000 + 3 * PAGE - 2, "four")).isEqualTo("OK");
            assertThat(fixture.device.write(0x10_0000 + 8 * PAGE, "none")).isEqualTo("EFAULT");
            assertThat(told(client, 0, ProxyFixture.RAM, PAGE)).containsExactly(18, 19);
            assertThat(told(client, 0x10_0000, 8 * PAGE, PAGE)).isEmpty();
            assertThat(fixture.device.asked(VFIO_USER_DEVICE_FEATURE))
                    .as("whether it moves, and nothing else")
                    .hasSize(1);
        }
    }

    @Test
    void deviceThatHasTheMemoryItselfCannotBeLogged() throws Exception {
        ProxySettings mapped = new ProxySettings(Isolation.MAPPED, ProxyFixture.ANSWER_MILLIS, 0);
        try (ProxyFixture fixture = new ProxyFixture(mapped);
                MockVfioUserClient client = fixture.ready()) {
            for (byte[] payload :
                    new byte[][] {
                        start(PAGE),
                        stop(),
                        report(0, RAM, PAGE),
                        feature(8, START | SET | PROBE, new byte[0]),
                        feature(8, REPORT | GET | PROBE, new byte[0])
                    }) {
                assertThat(error(client, payload)).isEqualTo(Errno.ENOTSUP);
            }
        }
    }
}
