// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.virtio.net.Link.Sent;
import org.ioasis.virtio.net.Station;

/**
 * A program for a network of its own: this host's kernel on one side of an interface, and on the
 * other a station that echoes. Says what it sees, a line each.
 */
final class OverTap implements Station {
    private static final int DATAGRAMS = 200;
    private static final int BURST = TapLink.FRAMES_AT_ONCE + 36;
    private static final int LONGEST = 1472;
    private static final long LIMIT_SECONDS = 20;
    private static final byte[] MAC = HexFormat.of().parseHex("020000000002");
    private static final byte[] ADDRESS = {10, 7, 1, 2};

    private final BlockingQueue<String> told = new LinkedBlockingQueue<>();
    private final Carrier link;
    private final EventLoop loop;
    private final MemorySegment out = Arena.ofAuto().allocate(2048);
    private int frames;
    private boolean isCounting;

    private OverTap(Carrier link, EventLoop loop) {
        this.link = link;
        this.loop = loop;
    }

    @Override
    public boolean receive(MemorySegment from, long offset, int length) {
        if (isCounting && frames++ == 0) {
            // Runs when this turn has taken what it takes.
            loop.execute(() -> {
                told.add("one turn takes " + frames);
                isCounting = false;
            });
        }
        byte[] frame = from.asSlice(offset, length).toArray(JAVA_BYTE);
        ByteBuffer in = ByteBuffer.wrap(frame);
        int type = in.getShort(12) & 0xffff;
        if (type == 0x0806 && Arrays.equals(frame, 38, 42, ADDRESS, 0, 4)) {
            in.putShort(20, (short) 2);
            in.put(32, frame, 22, 10);
            in.put(22, MAC).put(28, ADDRESS);
        } else if (type == 0x0800
                && frame[23] == 17
                && Arrays.equals(frame, 30, 34, ADDRESS, 0, 4)) {
            // Addresses and ports change places, so that both checksums stay right.
            swap(frame, 26, 30, 4);
            swap(frame, 34, 36, 2);
        } else {
            return true;
        }
        in.put(0, frame, 6, 6).put(6, MAC);
        MemorySegment.copy(frame, 0, out, JAVA_BYTE, 0, frame.length);
        if (link.send(out, frame.length) != Sent.TAKEN) {
            told.add("not taken");
        }
        return true;
    }

    private static void swap(byte[] bytes, int a, int b, int length) {
        for (int i = 0; i < length; i++) {
            byte kept = bytes[a + i];
            bytes[a + i] = bytes[b + i];
            bytes[b + i] = kept;
        }
    }

    @Override
    public void writable() {
        told.add("writable");
    }

    @Override
    public void link(boolean isUp) {
        told.add(isUp ? "up" : "gone");
    }

    public static void main(String[] arguments) throws Exception {
        Carrier link;
        try {
            link = new Backend.Tap("tap0").open();
        } catch (IOException e) {
            System.out.println("refused: " + e.getMessage());
            return;
        }
        System.out.println("opened " + link.description());
        refusal("tap0");
        refusal("lo");
        EventLoop loop =
                new EventLoop("l", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
        OverTap station = new OverTap(link, loop);
        link.begin(loop, station);
        loop.start();
        ip("addr", "add", "10.7.1.1/24", "dev", "tap0");
        ip("link", "set", "tap0", "up");
        System.out.println("echoed " + echo());
        station.burst();
        System.out.println(station.told.poll(LIMIT_SECONDS, TimeUnit.SECONDS));
        ip("link", "set", "tap0", "down");
        AtomicReference<Sent> sent = new AtomicReference<>();
        boolean _ =
                loop.executeAndWait(
                        () -> sent.set(link.send(station.out, 60)),
                        TimeUnit.SECONDS.toNanos(LIMIT_SECONDS));
        System.out.println("down: " + sent.get() + ", link " + link.isUp());
        ip("link", "del", "tap0");
        System.out.println(station.told.poll(LIMIT_SECONDS, TimeUnit.SECONDS));
        loop.close();
        link.close();
    }

    private static void refusal(String name) {
        try {
            new Backend.Tap(name).open().close();
            System.out.println(name + " is open");
        } catch (IOException e) {
            System.out.println(e.getMessage());
        }
    }

    private static void ip(String... words) throws IOException, InterruptedException {
        String[] all = new String[words.length + 1];
        all[0] = "ip";
        System.arraycopy(words, 0, all, 1, words.length);
        int code = new ProcessBuilder(all).inheritIO().start().waitFor();
        if (code != 0) {
            throw new IOException(String.join(" ", all) + " ended with " + code);
        }
    }

    /** More frames than one turn takes wait while the loop is busy. */
    private void burst() throws IOException, InterruptedException {
        CountDownLatch isBusy = new CountDownLatch(1);
        CountDownLatch sent = new CountDownLatch(1);
        loop.execute(() -> {
            isBusy.countDown();
            try {
                isCounting = sent.await(LIMIT_SECONDS, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        if (!isBusy.await(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            throw new IOException("the loop does not answer");
        }
        try (DatagramSocket socket = new DatagramSocket()) {
            socket.connect(InetAddress.getByAddress(ADDRESS), 7);
            for (int i = 0; i < BURST; i++) {
                socket.send(new DatagramPacket(new byte[1], 1));
            }
        }
        sent.countDown();
    }

    private static int echo() throws IOException {
        Random random = new Random(1);
        int equal = 0;
        try (DatagramSocket socket = new DatagramSocket()) {
            socket.setSoTimeout((int) TimeUnit.SECONDS.toMillis(LIMIT_SECONDS));
            socket.connect(InetAddress.getByAddress(ADDRESS), 7);
            for (int i = 0; i < DATAGRAMS; i++) {
                byte[] bytes = new byte[1 + i * (LONGEST - 1) / (DATAGRAMS - 1)];
                random.nextBytes(bytes);
                socket.send(new DatagramPacket(bytes, bytes.length));
                DatagramPacket answer = new DatagramPacket(new byte[2048], 2048);
                socket.receive(answer);
                byte[] echoed = Arrays.copyOf(answer.getData(), answer.getLength());
                equal += Arrays.equals(echoed, bytes) ? 1 : 0;
            }
        }
        return equal;
    }
}
