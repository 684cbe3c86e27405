// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What is typed and shown, with streams in the place of a terminal. */
class TerminalTest {
    private final CountDownLatch closed = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    private final ByteArrayOutputStream guest =
            new ByteArrayOutputStream() {
                @Override
                public void close() {
                    closed.countDown();
                }
            };

    private Terminal typing(String text) {
        InputStream in = new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1));
        Terminal terminal = Terminal.of(in, OutputStream.nullOutputStream());
        terminal.typeInto(guest, ended::countDown);
        return terminal;
    }

    private String arrived() throws InterruptedException {
        assertThat(closed.await(30, TimeUnit.SECONDS)).isTrue();
        return guest.toString(StandardCharsets.ISO_8859_1);
    }

    @Test
    void inputIsHeldBackUntilTheGuestListensAndItsEndIsCtrlD() throws Exception {
        Terminal terminal = typing("ls\n");

        assertThat(closed.await(50, TimeUnit.MILLISECONDS)).isFalse();
        assertThat(guest.size()).isZero();
        terminal.guestIsListening();

        assertThat(arrived()).isEqualTo("ls\n\004");
        assertThat(ended.getCount()).isEqualTo(1);
    }

    @Test
    void ctrlAXEndsTheGuestAndSendsNothing() throws Exception {
        typing("a\001xb").guestIsListening();

        assertThat(arrived()).isEqualTo("a");
        assertThat(ended.getCount()).isZero();
    }

    @Test
    void ctrlATwiceIsOneAndBeforeOtherKeysItIsItself() throws Exception {
        typing("\001\001x\001y").guestIsListening();

        assertThat(arrived()).isEqualTo("\001x\001y\004");
        assertThat(ended.getCount()).isEqualTo(1);
    }

    @Test
    void consoleIsShownAsItIsAndReadAsItWas() throws Exception {
        ByteArrayOutputStream shown = new ByteArrayOutputStream();
        byte[] bytes = {'l', 'o', 'g', 'i', 'n', ':', ' ', (byte) 0xff, '\r', '\n', 0};
        Terminal terminal = Terminal.of(InputStream.nullInputStream(), shown);

        InputStream console = terminal.showing(new ByteArrayInputStream(bytes));

        assertThat(console.read()).isEqualTo('l');
        assertThat(console.readAllBytes()).hasSize(bytes.length - 1);
        assertThat(shown.toByteArray()).isEqualTo(bytes);
    }
}
