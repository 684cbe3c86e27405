// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AptTargetsTest {
    private static List<String> lines(String text) {
        return text.lines().toList();
    }

    @Test
    void machineWithoutSourcesHasNoMirror() {
        assertThat(AptTargets.debianMirror(List.of())).isEmpty();
    }

    @Test
    void archivesOfOthersAreNoMirrorOfDebian() {
        assertThat(
                        AptTargets.debianMirror(
                                lines(
                                        """
                                        Repo-URI: http://a.invalid/debian/
                                        Component: main
                                        Origin: Somebody

                                        Repo-URI: http://b.invalid/debian-security/
                                        Component: main
                                        Origin: Debian
                                        Label: Debian-Security

                                        Repo-URI: http://c.invalid/debian/
                                        Component: contrib
                                        Origin: Debian
                                        Label: Debian

                                        Repo-URI: cdrom:[Debian]/debian/
                                        Component: main
                                        Origin: Debian
                                        Label: Debian
                                        """)))
                .isEmpty();
    }

    @Test
    void firstMirrorThatIsDebiansByItsOwnListsWins() {
        assertThat(
                        AptTargets.debianMirror(
                                lines(
                                        """
                                        Repo-URI: http://unread.invalid/debian
                                        Component: main

                                        Codename: bookworm
                                        Repo-URI: https://read.invalid/pub/
                                        Component: main
                                        Origin: Debian
                                        Label: Debian
                                        """)))
                .contains("https://read.invalid/pub/");
    }

    @Test
    void withoutListsThePathTells() {
        assertThat(
                        AptTargets.debianMirror(
                                lines(
                                        """
                                        Repo-URI: http://unread.invalid/ubuntu/
                                        Component: main

                                        Repo-URI: http://unread.invalid/debian/
                                        Component: main\
                                        """)))
                .contains("http://unread.invalid/debian/");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "debian", "ftp://a/debian", "http://a b", "http://a/\"", "file:debian"})
    void addressesThatAptWouldReadDifferentlyAreRefused(String address) {
        assertThat(AptTargets.isMirror(address)).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://a/debian", "https://u:p@a:8080/d/", "file:/srv/debian"})
    void addressesOfMirrorsAreAccepted(String address) {
        assertThat(AptTargets.isMirror(address)).isTrue();
    }
}
